"""How the replies of versions were received, and whom they answered.

Owns what is asked of `experience` about versions. Does not own the tables (`log_writer`), the rules
by which judgements count (`feedback`) nor what follows for a version (`learning`).
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select

from understudy.storage.engine import Database
from understudy.storage.feedback import FeedbackRows, verdict
from understudy.storage.rows import BASE, WITHHELD
from understudy.storage.tables import experience, reaction
from understudy.storage.upsert import storable

_BATCH = 500


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one reply of `version`; `ts` is when it was given, in ms.

    `rating` is the weighted sum of what people made of it, None when nobody judged it; `reward` is
    what the room's reaction was worth in standard deviations, None when that is not known;
    `unsafe` when somebody marked it so, or the output filter kept some of it back.
    """

    id: str
    ts: int
    version: str
    rating: float | None = None
    reward: float | None = None
    unsafe: bool = False


class Outcomes:
    """Reads what became of replies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(
        self,
        channel: str,
        versions: Sequence[str],
        since: int,
        *,
        until: int | None = None,
        limit: int = 10_000,
    ) -> list[Outcome]:
        """The whole replies of `versions` in `channel` from `since` (ms) on, in order of time.

        Those at `until` (ms) or later are left out; of more than `limit` the oldest are given.
        An empty `channel` stands for all of them. What the experience of an untrained model calls
        no version is `base` here.
        """
        names = [storable("" if version == BASE else version) for version in versions]
        mine = experience.c.version.in_(names) & (experience.c.ts >= since)
        mine &= experience.c.status == "complete"
        if until is not None:
            mine &= experience.c.ts < until
        if channel:
            mine &= experience.c.channel == storable(channel)
        joined = experience.outerjoin(reaction, reaction.c.id == experience.c.id)
        statement = (
            select(
                experience.c.id,
                experience.c.ts,
                experience.c.version,
                experience.c.events,
                reaction.c.reward,
            )
            .select_from(joined)
            .where(mine)
            .order_by(experience.c.ts, experience.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        feedback = await FeedbackRows(self._database).of([row.id for row in rows])
        outcomes: list[Outcome] = []
        for row in rows:
            # What the room's reaction says stands in `reward` already, and more exactly.
            said = [judged for judged in feedback.get(row.id, ()) if judged.kind != "reward"]
            total = verdict(said)
            outcomes.append(
                Outcome(
                    id=row.id,
                    ts=row.ts,
                    version=row.version or BASE,
                    rating=total.rating or None,
                    reward=row.reward,
                    unsafe=total.blocked or WITHHELD in row.events.split(","),
                )
            )
        return outcomes

    async def answered(self, experiences: Sequence[str]) -> dict[str, str]:
        """The viewer who was answered, by the id of the experience, where it is known."""
        found: dict[str, str] = {}
        for start in range(0, len(experiences), _BATCH):
            ids = [storable(name) for name in experiences[start : start + _BATCH]]
            statement = select(experience.c.id, experience.c.user_id)
            async with self._database.read() as connection:
                rows = await connection.execute(statement.where(experience.c.id.in_(ids)))
                found |= {row.id: row.user_id for row in rows}
        return found

    async def count(self, channel: str, persona: str, since: int) -> int:
        """The whole replies from `since` (ms) on, of a channel and persona or (empty) of all."""
        mine = (experience.c.ts >= since) & (experience.c.status == "complete")
        if channel:
            mine &= experience.c.channel == storable(channel)
        if persona:
            mine &= experience.c.persona == storable(persona)
        async with self._database.read() as connection:
            return await connection.scalar(select(func.count()).where(mine)) or 0
