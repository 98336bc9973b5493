"""What clients told the co-host to keep in mind with `/setcontext`.

Owns the table `client_context`. Does not own how the text enters a prompt (`engine.context`).
"""

from sqlalchemy import delete, select

from understudy.storage.engine import Database
from understudy.storage.tables import client_context
from understudy.storage.upsert import insert, storable


class Contexts:
    """One text per client, kept until it is replaced or cleared."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, client: str) -> str | None:
        """The client's context, or None."""
        statement = select(client_context.c.text).where(client_context.c.client == storable(client))
        async with self._database.read() as connection:
            return (await connection.execute(statement)).scalar_one_or_none()

    async def set(self, client: str, text: str, ts: int) -> None:
        """Keep `text` for the client in place of what was there; `ts` in ms."""
        values = {"client": storable(client), "text": storable(text), "ts": ts}
        statement = insert(self._database.dialect, client_context).values(values)
        async with self._database.write() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["client"], set_={"text": values["text"], "ts": ts}
                )
            )

    async def clear(self, client: str) -> None:
        """Forget the client's context; nothing happens when there is none."""
        statement = delete(client_context).where(client_context.c.client == storable(client))
        async with self._database.write() as connection:
            await connection.execute(statement)
