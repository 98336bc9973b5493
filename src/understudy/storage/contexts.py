"""What clients told the co-host to keep in mind with `/setcontext`.

Owns the table `client_context`. Does not own how the text enters a prompt (`engine.context`).
"""

from collections import OrderedDict

from sqlalchemy import delete, select

from understudy.storage.engine import Database
from understudy.storage.tables import client_context
from understudy.storage.upsert import insert, storable

CACHED_CLIENTS = 5_000


class Contexts:
    """One text per client, kept until it is replaced or cleared.

    Every message asks for one and hardly any client has one, so the newest answers stay at hand.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, str | None] = OrderedDict()

    async def get(self, client: str) -> str | None:
        """The client's context, or None."""
        if client not in self._known:
            stored = await self._load(client)
            # What was set or cleared while the database was read is newer.
            self._remember(client, self._known.get(client, stored))
        self._known.move_to_end(client)
        return self._known[client]

    async def _load(self, client: str) -> str | None:
        statement = select(client_context.c.text).where(client_context.c.client == storable(client))
        async with self._database.read() as connection:
            return (await connection.execute(statement)).scalar_one_or_none()

    async def set(self, client: str, text: str, ts: int) -> None:
        """Keep `text` for the client in place of what was there; `ts` in ms."""
        kept = storable(text)
        values = {"client": storable(client), "text": kept, "ts": ts}
        statement = insert(self._database.dialect, client_context).values(values)
        async with self._database.write() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["client"], set_={"text": kept, "ts": ts}
                )
            )
        self._remember(client, kept)

    async def clear(self, client: str) -> None:
        """Forget the client's context; nothing happens when there is none."""
        statement = delete(client_context).where(client_context.c.client == storable(client))
        async with self._database.write() as connection:
            await connection.execute(statement)
        self._remember(client, None)

    def _remember(self, client: str, text: str | None) -> None:
        self._known[client] = text
        if len(self._known) > CACHED_CLIENTS:
            self._known.popitem(last=False)
