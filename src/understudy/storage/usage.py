"""What each model used per day and channel, so that a daily limit outlives a restart.

Owns the table `usage_day`. Does not own the limits on it (`brains.budget`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.rows import UsageDay
from understudy.storage.tables import usage_day
from understudy.storage.upsert import insert, storable


class UsageDays:
    """Adds up usage and reads it back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, day: str) -> list[UsageDay]:
        """The rows of `day` (UTC, `YYYY-MM-DD`) in order of their keys; raises `StorageError`."""
        statement = (
            select(usage_day)
            .where(usage_day.c.day == storable(day))
            .order_by(*usage_day.primary_key.columns)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [UsageDay(**row) for row in rows]

    async def add(self, rows: Sequence[UsageDay]) -> None:
        """Add the numbers of `rows` to the rows of the same key, all of them or none.

        Raises `StorageError`, also for numbers no database can hold.
        """
        if not rows:
            return
        # Sorted, so that processes which store the same keys do not deadlock.
        values = [_values(row) for row in sorted(rows, key=lambda row: row.key)]
        statement = insert(self._database.dialect, usage_day)
        key = list(usage_day.primary_key.columns)
        sums = {
            column.name: column + statement.excluded[column.name]
            for column in usage_day.c
            if not column.primary_key
        }
        statement = statement.on_conflict_do_update(index_elements=key, set_=sums)
        try:
            async with self._database.write() as connection:
                await connection.execute(statement, values)
        except (DBAPIError, OverflowError) as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
            raise StorageError(f"the database refused what was used: {cause}") from error


def _values(row: UsageDay) -> dict[str, Any]:
    values = msgspec.structs.asdict(row)
    return {name: storable(v) if isinstance(v, str) else v for name, v in values.items()}
