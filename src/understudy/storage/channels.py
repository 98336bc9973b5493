"""The channels the database knows.

Owns the table `channel`. Does not own what was said there (`storage.chat_log`).
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from understudy.events import now_ms
from understudy.storage.engine import Database
from understudy.storage.tables import channel
from understudy.storage.upsert import insert, storable


class Channels:
    """Finds channels by name and makes the missing ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_or_create(self, name: str, platform: str = "twitch") -> int:
        """The row id of the channel called `name`, which is made when it is new."""
        name = storable(name)
        async with self._database.read() as connection:
            known = await channel_ids(connection, name)
        if known:
            return known[name]
        row = {"name": name, "platform": platform, "created": now_ms()}
        async with self._database.write() as connection:
            # Another writer may have been faster: then its row stands.
            await connection.execute(
                insert(self._database.dialect, channel).values(row).on_conflict_do_nothing()
            )
            return (await channel_ids(connection, name))[name]

    async def names(self) -> list[str]:
        """The names of all channels, sorted."""
        async with self._database.read() as connection:
            return sorted(await channel_ids(connection, None))


async def channel_ids(connection: AsyncConnection, name: str | None) -> dict[str, int]:
    """Row ids by channel name, in order of the ids; of all channels when `name` is None."""
    statement = select(channel.c.name, channel.c.id).order_by(channel.c.id)
    if name is not None:
        statement = statement.where(channel.c.name == storable(name))
    return {row.name: row.id for row in await connection.execute(statement)}
