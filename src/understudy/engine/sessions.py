"""Conversations: who talks to which persona, and what was said.

Owns the life of a session and a bounded cache of recent histories, so that an answer never waits
for the database to read what was just said. Durable storage is `storage.sessions`.
"""

import re
from collections import OrderedDict

import msgspec

from understudy.events import new_id, now_ms
from understudy.storage.sessions import SessionMessage, SessionRow, Sessions

HISTORY_LIMIT = 200
"""Messages of a session kept at hand; a context never takes more."""
CACHED_SESSIONS = 5_000
FORGOTTEN_RUNS = 1_000
"""Exchanges taken back whose rows may still be on their way."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class SessionNotFound(Exception):
    """No session has this id."""


class SessionEnded(Exception):
    """The session was ended and takes no more messages."""


class SessionManager:
    """Creates, finds and ends sessions; keeps their recent messages at hand."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._rows: OrderedDict[str, SessionRow] = OrderedDict()
        self._histories: OrderedDict[str, list[SessionMessage]] = OrderedDict()
        # The session of each.
        self._forgotten: OrderedDict[str, str] = OrderedDict()

    async def start(self, user: str, persona: str, *, channel: str = "") -> SessionRow:
        """A new session of `user` with `persona`; its id is hard to guess."""
        safe = _UNSAFE.sub("-", user)[:40].strip("-") or "guest"
        return await self._create(new_id(f"session_{safe}_"), user, persona, channel)

    async def get(self, session: str) -> SessionRow:
        """The session with this id; raises `SessionNotFound`."""
        stored = None if session in self._rows else await self._sessions.get(session)
        # While the database was read the session may have ended: what is at hand is newer.
        row = self._rows.get(session, stored)
        if row is None:
            raise SessionNotFound(f"there is no session {session!r}: start one at /chat/start")
        self._remember(row)
        return row

    async def get_open(self, session: str) -> SessionRow:
        """The session, ready for messages; raises `SessionNotFound` or `SessionEnded`."""
        row = await self.get(session)
        if row.ended_at is not None:
            raise SessionEnded(f"session {session!r} has ended: start a new one at /chat/start")
        return row

    async def get_or_create(
        self, session: str, user: str, persona: str, *, channel: str = ""
    ) -> SessionRow:
        """The session with this id, created when it is unknown; raises `SessionEnded`."""
        try:
            return await self.get_open(session)
        except SessionNotFound:
            return await self._create(session, user, persona, channel)

    async def history(self, session: str) -> list[SessionMessage]:
        """The newest messages since the last clear, oldest first."""
        if session not in self._histories:
            stored = await self._sessions.messages(session, HISTORY_LIMIT)
            # Another reader may have been quicker, and messages may have come to its list since.
            if session not in self._histories:
                left = [message for message in stored if message.run not in self._forgotten]
                self._keep_history(session, left)
        self._histories.move_to_end(session)
        return list(self._histories[session])

    def remember(self, session: str, message: SessionMessage) -> None:
        """Add a message that was handed to the log to the history at hand."""
        history = self._histories.get(session)
        if history is not None and message.run not in self._forgotten:
            history.append(message)
            del history[:-HISTORY_LIMIT]
            self._histories.move_to_end(session)

    def forget(self, session: str, run: str) -> None:
        """Take the exchange of `run` out of the history at hand, and what is yet to come of it."""
        self._forgotten[run] = session
        if len(self._forgotten) > FORGOTTEN_RUNS:
            self._forgotten.popitem(last=False)
        if (history := self._histories.get(session)) is not None:
            history[:] = [message for message in history if message.run != run]

    async def erase(self, run: str) -> None:
        """Take the exchange of `run` out of what is stored; it must have ended."""
        await self._sessions.erase(run)

    async def clear(self, session: str) -> None:
        """Forget the conversation so far; the record in the database stays."""
        await self._sessions.clear(session, now_ms())
        self._keep_history(session, [])
        # A rehearsal that is repeated gives its runs the same ids again.
        for run in [run for run, where in self._forgotten.items() if where == session]:
            del self._forgotten[run]

    async def end(self, session: str) -> None:
        """End the session; raises `SessionNotFound`."""
        row = await self.get(session)
        ended_at = row.ended_at or now_ms()
        await self._sessions.end(session, ended_at)
        self._remember(msgspec.structs.replace(row, ended_at=ended_at))
        self._histories.pop(session, None)

    async def _create(self, session: str, user: str, persona: str, channel: str) -> SessionRow:
        row = SessionRow(
            id=session, channel=channel, user=user, persona=persona, created_at=now_ms()
        )
        await self._sessions.create(row)
        # Two messages may create a session at the same time: the row that came first stands, and
        # what was said in it meanwhile stays at hand.
        row = await self._sessions.get(session) or row
        self._remember(row)
        if session not in self._histories:
            self._keep_history(session, [])
        return row

    def _remember(self, row: SessionRow) -> None:
        self._rows[row.id] = row
        self._rows.move_to_end(row.id)
        if len(self._rows) > CACHED_SESSIONS:
            self._rows.popitem(last=False)

    def _keep_history(self, session: str, messages: list[SessionMessage]) -> None:
        self._histories[session] = messages
        self._histories.move_to_end(session)
        if len(self._histories) > CACHED_SESSIONS:
            self._histories.popitem(last=False)
