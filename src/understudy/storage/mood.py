"""The mood of each channel over time, in rows of a second, a minute and an hour.

Owns the table `mood_rollup`. Does not own how long rows are kept (`mood.history`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.exc import DBAPIError

from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.tables import mood_rollup
from understudy.storage.upsert import insert, storable

MAX_ROWS = 10_000
"""Rows of one answer at most."""
_BATCH = 500


class MoodRollup(msgspec.Struct, frozen=True, kw_only=True):
    """The mood of `channel` in the `step` seconds from `ts` (ms) on; every number is a sum.

    `messages` counted, of which `negative` and `positive` ones; `score` is the sum of their scores.
    `value` and `intensity` are sums over `readings` of the meter.
    """

    step: int
    channel: str
    ts: int
    messages: int = 0
    negative: int = 0
    positive: int = 0
    score: float = 0.0
    readings: int = 0
    value: float = 0.0
    intensity: float = 0.0

    @property
    def key(self) -> tuple[int, str, int]:
        """What makes it one row."""
        return self.step, self.channel, self.ts

    @property
    def mood(self) -> float | None:
        """The mean of the readings, -1 to 1; None when there were none."""
        return self.value / self.readings if self.readings else None

    def plus(self, other: "MoodRollup") -> "MoodRollup":
        """The sum with another row of the same key."""
        return msgspec.structs.replace(
            self,
            messages=self.messages + other.messages,
            negative=self.negative + other.negative,
            positive=self.positive + other.positive,
            score=self.score + other.score,
            readings=self.readings + other.readings,
            value=self.value + other.value,
            intensity=self.intensity + other.intensity,
        )


class MoodRollups:
    """Adds up moods and reads them back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[MoodRollup]) -> None:
        """Add the numbers of `rows` to the rows of the same key, all of them or none.

        Raises `StorageError`.
        """
        if not rows:
            return
        # Sorted, so that processes which store the same keys do not deadlock.
        values = [_values(row) for row in sorted(rows, key=lambda row: row.key)]
        statement = insert(self._database.dialect, mood_rollup)
        sums = {
            column.name: column + statement.excluded[column.name]
            for column in mood_rollup.c
            if not column.primary_key
        }
        key = list(mood_rollup.primary_key.columns)
        statement = statement.on_conflict_do_update(index_elements=key, set_=sums)
        try:
            async with self._database.write() as connection:
                for start in range(0, len(values), _BATCH):
                    await connection.execute(statement, values[start : start + _BATCH])
        except (DBAPIError, OverflowError) as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
            raise StorageError(f"the database refused the mood: {cause}") from error

    async def load(
        self,
        channel: str,
        step: int,
        *,
        since: int = 0,
        until: int | None = None,
        limit: int = MAX_ROWS,
    ) -> list[MoodRollup]:
        """The newest `limit` rows of `channel` with this `step`, in order of time.

        Only rows that begin at `since` or later and before `until` (ms); raises `StorageError`.
        """
        columns = mood_rollup.c
        statement = (
            select(mood_rollup)
            .where(columns.step == step, columns.channel == storable(channel))
            .where(columns.ts >= since)
            .order_by(columns.ts.desc())
            .limit(max(0, min(limit, MAX_ROWS)))
        )
        if until is not None:
            statement = statement.where(columns.ts < until)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [MoodRollup(**row) for row in reversed(rows)]

    async def prune(self, step: int, before: int) -> int:
        """Drop the rows of this `step` that begin before `before` (ms); returns how many.

        Raises `StorageError`.
        """
        old = (mood_rollup.c.step == step) & (mood_rollup.c.ts < before)
        async with self._database.write() as connection:
            count = await connection.scalar(
                select(func.count()).select_from(mood_rollup).where(old)
            )
            await connection.execute(delete(mood_rollup).where(old))
        return count or 0


def _values(row: MoodRollup) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "channel": storable(row.channel)}
