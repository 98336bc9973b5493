"""What the room did after replies, and after chances that were left out on purpose.

Owns the table `reaction`. Does not own how reactions are measured or judged (`learning`).
"""

from typing import Any

import msgspec
from sqlalchemy import Row, select

from understudy.storage.engine import Database
from understudy.storage.tables import reaction
from understudy.storage.upsert import insert, storable


class ReactionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One window of the room. `id` is the experience's, or a control's own.

    `signals` and `expected` are by the signal's name, `features` what the expectation rests on.
    `reward` is in standard deviations, None where it was masked or nothing could be expected;
    `masked_by` says why, empty when it was not.
    """

    id: str
    channel: str
    ts: int
    control: bool
    signals: dict[str, float]
    features: list[float]
    expected: dict[str, float]
    reward: float | None = None
    masked_by: str = ""


class Reactions:
    """Stores and reads reactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: ReactionRow) -> None:
        """Store a reaction; one with this id that is already there stays as it is."""
        values = {
            "id": storable(row.id),
            "channel": storable(row.channel),
            "ts": row.ts,
            "control": row.control,
            "signals": msgspec.json.encode(row.signals).decode(),
            "features": msgspec.json.encode(row.features).decode(),
            "expected": msgspec.json.encode(row.expected).decode(),
            "reward": row.reward,
            "masked_by": storable(row.masked_by),
        }
        statement = insert(self._database.dialect, reaction).values(values)
        async with self._database.write() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    async def get(self, reaction_id: str) -> ReactionRow | None:
        """The reaction with this id, or None."""
        statement = select(reaction).where(reaction.c.id == storable(reaction_id))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _reaction(row)

    async def newest(self, channel: str, limit: int) -> list[ReactionRow]:
        """The newest reactions of a channel, controls included, oldest first."""
        statement = (
            select(reaction)
            .where(reaction.c.channel == storable(channel))
            .order_by(reaction.c.ts.desc(), reaction.c.id.desc())
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [_reaction(row) for row in reversed(rows)]


def _reaction(row: Row[Any]) -> ReactionRow:
    return ReactionRow(
        id=row.id,
        channel=row.channel,
        ts=row.ts,
        control=row.control,
        signals=msgspec.json.decode(row.signals, type=dict[str, float]),
        features=msgspec.json.decode(row.features, type=list[float]),
        expected=msgspec.json.decode(row.expected, type=dict[str, float]),
        reward=row.reward,
        masked_by=row.masked_by,
    )
