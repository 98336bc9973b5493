"""What each exchange is used for in training, for ever.

Owns the table `example`. Does not own how a side or a group is chosen (`learning.datasets`), nor
what speaks for or against an exchange (`storage.evidence`).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, select, update

from understudy.storage.engine import Database
from understudy.storage.tables import example
from understudy.storage.upsert import insert, storable

CHUNK = 5_000
"""Groups an iterator reads at a time."""
_IDS = 500

Split = Literal["train", "val", "anchor"]
ExampleState = Literal["auto", "approved", "rejected", "tombstoned"]


class ExampleRow(msgspec.Struct, frozen=True, kw_only=True):
    """The use of one exchange (`id` is the experience's); see `tables.example`.

    `session` is the conversation by which it was split, `duplicates` the name of its group.
    """

    id: str
    channel: str
    session: str
    ts: int
    duplicates: str
    split: Split
    state: ExampleState = "auto"
    reason: str = ""


class Examples:
    """Reads, adds and judges examples."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[ExampleRow]) -> None:
        """Store new examples; one with this id that is already there stays as it is."""
        if not rows:
            return
        values = [
            {
                "id": storable(row.id),
                "channel": storable(row.channel),
                "session_id": storable(row.session),
                "ts": row.ts,
                "duplicates": row.duplicates,
                "split": row.split,
                "state": row.state,
                "reason": storable(row.reason),
            }
            for row in rows
        ]
        statement = insert(self._database.dialect, example).on_conflict_do_nothing()
        async with self._database.write() as connection:
            await connection.execute(statement, values)

    async def get(self, ids: Sequence[str]) -> dict[str, ExampleRow]:
        """The examples among `ids` (a few hundred at most) that are known."""
        statement = select(example).where(example.c.id.in_([storable(id) for id in ids]))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.id: _example(row) for row in rows}

    async def judge(self, ids: Sequence[str], state: ExampleState, reason: str = "") -> int:
        """Set what a person decided about examples, all or none; returns how many are known."""
        statement = update(example).values(state=state, reason=storable(reason))
        found = 0
        async with self._database.write() as connection:
            for start in range(0, len(ids), _IDS):
                batch = [storable(id) for id in ids[start : start + _IDS]]
                result = await connection.execute(statement.where(example.c.id.in_(batch)))
                found += result.rowcount
        return found

    async def groups(self) -> AsyncIterator[tuple[str, Split]]:
        """The name and side of every group of near-duplicates, in order of their names."""
        columns = (example.c.duplicates, example.c.split)
        statement = select(*columns).distinct().order_by(example.c.duplicates).limit(CHUNK)
        after = ""
        while True:
            page = statement.where(example.c.duplicates > after)
            async with self._database.read() as connection:
                rows = (await connection.execute(page)).all()
            for name, split in rows:
                yield name, split
            if len(rows) < CHUNK:
                return
            after = rows[-1].duplicates


def _example(row: Row[Any]) -> ExampleRow:
    return ExampleRow(
        id=row.id,
        channel=row.channel,
        session=row.session_id,
        ts=row.ts,
        duplicates=row.duplicates,
        split=row.split,
        state=row.state,
        reason=row.reason,
    )
