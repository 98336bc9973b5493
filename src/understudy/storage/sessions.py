"""Conversations and what was said in them.

Owns the table `session` and reading `session_message`, which `storage.log_writer` fills. Does not
own who may take part (`engine.sessions`).
"""

from typing import Any, Literal

import msgspec
from sqlalchemy import Row, delete, func, select, update

from understudy.events import TurnStatus
from understudy.storage.engine import Database
from understudy.storage.tables import session, session_message
from understudy.storage.upsert import insert, storable


class SessionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation; `run` names the turn that made a reply."""

    id: str
    ts: int
    role: Literal["user", "assistant"]
    user: str
    text: str
    run: str = ""
    status: TurnStatus = "complete"


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation of `user` with `persona`; times in ms, `ended_at` None while it is open."""

    id: str
    channel: str
    user: str
    persona: str
    created_at: int
    ended_at: int | None = None


class Sessions:
    """Creates, finds, clears and ends conversations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, row: SessionRow) -> None:
        """Store a new session; one with this id that is already there stays as it is."""
        values = {
            "id": storable(row.id),
            "channel": storable(row.channel),
            "user_id": storable(row.user),
            "persona": storable(row.persona),
            "created_at": row.created_at,
            "ended_at": row.ended_at,
        }
        statement = insert(self._database.dialect, session).values(values)
        async with self._database.write() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    async def get(self, session_id: str) -> SessionRow | None:
        """The session with this id, or None."""
        statement = select(session).where(session.c.id == storable(session_id))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _session(row)

    async def end(self, session_id: str, ts: int) -> None:
        """Mark the session as ended at `ts`; the first end stands."""
        await self._set(session_id, "ended_at", func.coalesce(session.c.ended_at, ts))

    async def clear(self, session_id: str, ts: int) -> None:
        """Take messages up to and including `ts` out of the conversation; the log keeps them."""
        await self._set(session_id, "cleared_at", ts)

    async def messages(self, session_id: str, limit: int = 200) -> list[SessionMessage]:
        """The newest `limit` messages since the last clear, oldest first."""
        key = storable(session_id)
        cleared = select(session.c.cleared_at).where(session.c.id == key).scalar_subquery()
        message = session_message.c
        statement = (
            select(session_message)
            .where(message.session_id == key, message.ts > func.coalesce(cleared, -1))
            .order_by(message.ts.desc(), message.seq.desc())
            .limit(max(limit, 0))
        )
        async with self._database.read() as connection:
            newest_first = (await connection.execute(statement)).all()
        return [_message(row) for row in reversed(newest_first)]

    async def message_of_run(self, run: str) -> SessionMessage | None:
        """The reply that the run made, or None when it stored none."""
        message = session_message.c
        statement = (
            select(session_message)
            .where(message.run == storable(run), message.run != "", message.role == "assistant")
            .order_by(message.ts.desc(), message.seq.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _message(row)

    async def erase(self, run: str) -> None:
        """Delete the messages of the run: what was asked, and the reply."""
        message = session_message.c
        statement = delete(session_message).where(message.run == storable(run), message.run != "")
        async with self._database.write() as connection:
            await connection.execute(statement)

    async def _set(self, session_id: str, column: str, value: Any) -> None:
        statement = update(session).where(session.c.id == storable(session_id))
        async with self._database.write() as connection:
            await connection.execute(statement.values({column: value}))


def _session(row: Row[Any]) -> SessionRow:
    return SessionRow(
        id=row.id,
        channel=row.channel,
        user=row.user_id,
        persona=row.persona,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _message(row: Row[Any]) -> SessionMessage:
    return SessionMessage(
        id=row.id,
        ts=row.ts,
        role=row.role,
        user=row.user_id,
        text=row.text,
        run=row.run,
        status=row.status,
    )
