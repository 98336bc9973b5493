"""A session of EventSub: from its welcome over every move to its end.

Owns the order of things: read and subscribe at the same time; when Twitch asks for a move, open
the new connection, wait for its welcome, only then leave the old one and read it to its end before
the new one is read. Nothing is lost and nothing overtaken. Does not own what is subscribed to nor
what a notification means (`eventsub`).

    connected ──session_reconnect──> moving ──new welcome──> leaving the old ──drained──> connected
        │                              └─no welcome──> lost
        └─closed, or silent too long──> lost
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from understudy.sources.twitch.eventsub_connection import (
    Connection,
    OnBad,
    SessionLost,
    open_connection,
)
from understudy.sources.twitch.eventsub_frames import Notification, Reconnect, Revocation

Subscribe = Callable[[Callable[[], str]], Awaitable[None]]
"""Subscribes the session, whose id it is given as a call: a move changes it."""
Handle = Callable[[Notification | Revocation], Awaitable[None]]
"""Takes what the session hands out, one at a time; waiting for it is back-pressure."""


class EventSubSession:
    """One session at `url`; run it once."""

    def __init__(self, url: str, subscribe: Subscribe, handle: Handle, on_bad: OnBad) -> None:
        self._url = url
        self._subscribe = subscribe
        self._handle = handle
        self._on_bad = on_bad
        self._connections: list[Connection] = []
        self._id = ""

    async def run(self) -> NoReturn:
        """Hand out what comes until it ends; raises `SessionLost`, or what its callbacks raise."""
        try:
            first = await self._open(self._url)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(first), name="eventsub reader")
                group.create_task(self._subscribe_all(), name="eventsub subscriber")
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            for connection in self._connections:
                await connection.close()
        raise AssertionError("reading ends with an error")

    async def _subscribe_all(self) -> None:
        await self._subscribe(lambda: self._id)

    async def _open(self, url: str) -> Connection:
        connection = await open_connection(url, self._on_bad)
        self._connections.append(connection)
        self._id = connection.session
        return connection

    async def _read(self, connection: Connection) -> NoReturn:
        """Read one connection after the other."""
        while True:
            move = await self._read_until_asked_to_move(connection)
            new = await self._move(connection, move)
            self._connections.remove(connection)
            connection = new

    async def _read_until_asked_to_move(self, connection: Connection) -> Reconnect:
        while True:
            frame = await connection.read()
            if isinstance(frame, Reconnect):
                return frame
            if isinstance(frame, Notification | Revocation):
                await self._handle(frame)

    async def _move(self, old: Connection, move: Reconnect) -> Connection:
        """The connection to go on with, when everything of the old one has been handled."""
        opening = asyncio.create_task(self._open(move.url), name="eventsub move")
        draining = asyncio.create_task(self._drain(old), name="eventsub drain")
        try:
            new = await opening
            await old.close()
            await draining
        finally:
            for task in (opening, draining):
                task.cancel()
            await asyncio.gather(opening, draining, return_exceptions=True)
        return new

    async def _drain(self, old: Connection) -> None:
        """Handle what the old connection still hands out; its end is no loss any more."""
        while True:
            try:
                frame = await old.read()
            except SessionLost:
                return
            if isinstance(frame, Notification | Revocation):
                await self._handle(frame)
