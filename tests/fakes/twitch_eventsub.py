"""Twitch's EventSub WebSocket server over a real socket.

    async with TwitchEventSubServer() as server:
        ...                                     # a client connects to server.url
        await server.connected()
        await server.notify("channel.cheer", {...})
        await server.ask_to_move()              # session_reconnect
        await server.close(4000, "internal server error")

Greets with a welcome, and closes with Twitch's codes: 4001 when a client sends anything, 4003 when
it subscribes to nothing, 4004 when it stays on a connection it was asked to leave. Frames have the
envelope of the recorded transcript of twitch-cli.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TIMESTAMP = "2026-11-21T00:42:53.554319177Z"
TIMESTAMP_MS = 1_795_221_773_554


class Session:
    """One connection of a client."""

    def __init__(self, number: int, socket: ServerConnection) -> None:
        self.id = f"session-{number}"
        self.socket = socket
        self.moved_from = ""
        self.subscribed: list[dict[str, Any]] = []
        self.welcomed = False
        self.close_code: int | None = None

    async def send(self, frame: Any) -> None:
        """Send a frame as JSON, or text and bytes as they are."""
        raw = frame if isinstance(frame, str | bytes) else msgspec.json.encode(frame).decode()
        await self.socket.send(raw)


class TwitchEventSubServer:
    """Listens on a free loopback port from `async with` on.

    `sessions` are all connections there were, the newest last. `greeting`, when set, is sent in
    place of the welcome; `welcome_gate`, when set, holds welcomes back until it is opened.
    """

    def __init__(
        self,
        *,
        keepalive_seconds: float = 10,
        unused_seconds: float = 10.0,
        grace_seconds: float = 30.0,
    ) -> None:
        self.sessions: list[Session] = []
        self.greeting: Any = None
        self.welcome_gate: asyncio.Event | None = None
        self.after_welcome: Callable[[Session], Any] | None = None
        self._keepalive_seconds = keepalive_seconds
        self._unused_seconds = unused_seconds
        self._grace_seconds = grace_seconds
        self._messages = 0
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def session(self) -> Session:
        """The newest connection."""
        return self.sessions[-1]

    async def connected(self, count: int = 1) -> Session:
        """Wait until there were `count` connections; returns the newest."""
        await self.until(lambda: len(self.sessions) >= count)
        return self.session

    async def subscribed(self, count: int, session: Session | None = None) -> None:
        """Wait until the session (the newest) has `count` subscriptions."""
        await self.until(lambda: len((session or self.session).subscribed) >= count)

    async def closed(self, session: Session) -> int:
        """Wait until the connection has ended; returns its close code."""
        await self.until(lambda: session.close_code is not None)
        assert session.close_code is not None
        return session.close_code

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` of this server holds."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def notify(
        self,
        type_: str,
        event: dict[str, Any],
        *,
        message_id: str = "",
        session: Session | None = None,
        condition: dict[str, str] | None = None,
    ) -> str:
        """Send a notification to the newest connection or `session`; returns its id."""
        frame = self.frame("notification", message_id)
        subscription = {"id": "sub", "status": "enabled", "type": type_, "version": "1"}
        subscription["condition"] = condition or {"broadcaster_user_id": "71092938"}  # type: ignore[assignment]
        frame["payload"] = {"subscription": subscription, "event": event}
        await (session or self.session).send(frame)
        return frame["metadata"]["message_id"]

    async def revoke(self, type_: str, status: str, broadcaster_id: str = "71092938") -> None:
        """Tell that a subscription has ended."""
        frame = self.frame("revocation")
        condition = {"broadcaster_user_id": broadcaster_id}
        ended = {"id": "sub", "status": status, "type": type_, "version": "1"}
        frame["payload"] = {"subscription": {**ended, "condition": condition}}
        await self.session.send(frame)

    async def keepalive(self) -> None:
        """Say that all is well."""
        await self.session.send(self.frame("session_keepalive"))

    async def ask_to_move(self, url: str = "") -> Session:
        """Ask the newest connection to move; returns the one that is to be left."""
        old = self.session
        frame = self.frame("session_reconnect")
        where = url or f"{self.url}?reconnect_id={old.id}"
        moved = {"id": old.id, "status": "reconnecting", "reconnect_url": where}
        frame["payload"] = {"session": {**moved, "keepalive_timeout_seconds": None}}
        await old.send(frame)
        grace = "client reconnect grace time expired"
        self._later(self._grace_seconds, lambda: old.socket.close(4004, grace))
        return old

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the newest connection."""
        await self.session.socket.close(code, reason)

    def take_subscription(self, session: str, wanted: dict[str, Any]) -> bool:
        """Note a subscription made at the API; False when there is no such session."""
        for known in self.sessions:
            if known.id == session and known.close_code is None:
                known.subscribed.append(wanted)
                self._spawn(self.tell())
                return True
        return False

    def frame(self, type_: str, message_id: str = "") -> dict[str, Any]:
        """A frame without a payload."""
        self._messages += 1
        metadata = {"message_id": message_id or f"message-{self._messages}"}
        metadata |= {"message_type": type_, "message_timestamp": TIMESTAMP}
        return {"metadata": metadata, "payload": {}}

    async def _serve(self, socket: ServerConnection) -> None:
        session = Session(len(self.sessions) + 1, socket)
        assert socket.request is not None
        query = parse_qs(urlsplit(socket.request.path).query)
        session.moved_from = query.get("reconnect_id", [""])[0]
        self.sessions.append(session)
        await self.tell()
        try:
            await self.greet(session)
            async for _ in socket:
                await socket.close(4001, "client sent inbound traffic")
        except ConnectionClosed:
            pass
        finally:
            await socket.wait_closed()
            session.close_code = socket.close_code
            await self.tell()

    async def greet(self, session: Session) -> None:
        """Say what a new connection is told first."""
        if self.welcome_gate is not None:
            await self.welcome_gate.wait()
        frame = self.frame("session_welcome")
        keepalive = {"keepalive_timeout_seconds": self._keepalive_seconds, "reconnect_url": None}
        frame["payload"] = {"session": {"id": session.id, "status": "connected", **keepalive}}
        await session.send(frame if self.greeting is None else self.greeting)
        session.welcomed = True
        await self.tell()
        if self.after_welcome is not None:
            await self.after_welcome(session)
        if not session.moved_from:
            self._later(self._unused_seconds, lambda: self._close_unused(session))

    async def _close_unused(self, session: Session) -> None:
        if not session.subscribed:
            await session.socket.close(4003, "connection unused")

    def _later(self, seconds: float, act: Callable[[], Any]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await act()

        self._spawn(wait())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def tell(self) -> None:
        """Wake up those who wait for a condition."""
        async with self._changed:
            self._changed.notify_all()

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, close_timeout=2)
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        for task in list(self._tasks):
            task.cancel()
        self._server.close()
        await self._server.wait_closed()
