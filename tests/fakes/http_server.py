"""A small HTTP/1.1 server over a real socket that can also behave badly.

Owns the connection: it reads whole requests, keeps connections alive, streams chunked answers and
notices at once when a client goes away. Does not own what is answered (`openai_server`,
`anthropic_server`). Written on `asyncio.Protocol` so that it costs little beside what it measures.
"""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A request as it came in; the names of `headers` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Exchange:
    """One request and the answer to it; what is written after the client left is dropped."""

    def __init__(self, request: Request, transport: asyncio.Transport) -> None:
        self.request = request
        self.complete = False
        self._transport = transport
        self._writable = asyncio.Event()
        self._writable.set()

    def respond(
        self, status: int, body: bytes, headers: Mapping[str, str], *, content_type: str
    ) -> None:
        """Send a whole answer."""
        self._head(
            status, {"content-type": content_type, **headers}, f"content-length: {len(body)}"
        )
        self._transport.write(body)
        self.complete = True

    def begin(self, headers: Mapping[str, str]) -> None:
        """Send the head of a streamed answer of status 200."""
        self._head(200, headers, "transfer-encoding: chunked")

    async def write(self, data: bytes) -> None:
        """Send a chunk; waits while the client does not read."""
        await self._writable.wait()
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """Conclude a streamed answer."""
        self._transport.write(b"0\r\n\r\n")
        self.complete = True

    def half_close(self) -> None:
        """Stop sending in the middle of an answer, as a proxy does whose upstream has died."""
        self.complete = True
        self._transport.write_eof()

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.complete = True
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def set_writable(self, writable: bool) -> None:
        """Let `write` go on, or hold it."""
        (self._writable.set if writable else self._writable.clear)()

    def _head(self, status: int, headers: Mapping[str, str], framing: str) -> None:
        lines = [f"HTTP/1.1 {status} {_phrase(status)}", framing]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._transport.write("\r\n".join([*lines, "", ""]).encode())


class HttpServer(ABC):
    """Listens on a free loopback port from `async with` on; a subclass answers.

    `requests` are those that came in, `connections` counts accepted connections, `open_connections`
    those still open, and `departures` the clients that left before their answer was complete.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.departures = 0
        self._open: set[_Connection] = set()
        self._changed = asyncio.Condition()
        self._notices: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections that are open now, busy or kept alive."""
        return len(self._open)

    async def start(self, port: int = 0) -> None:
        """Listen on `port`; 0 takes a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        assert self._server is not None
        self._server.close()
        for connection in list(self._open):
            connection.abort()
        await self.until(lambda: not self._open)
        await self._server.wait_closed()

    async def gone(self, count: int = 1) -> None:
        """Wait until `count` clients have left before their answer was complete."""
        await self.until(lambda: self.departures >= count)

    async def asked(self, count: int = 1) -> None:
        """Wait until `count` requests have come in."""
        await self.until(lambda: len(self.requests) >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` of this server holds."""
        async with self._changed:
            await self._changed.wait_for(condition)

    @abstractmethod
    async def answer(self, exchange: Exchange) -> None:
        """Answer `exchange.request`; cancelled when the client goes away."""

    def notice(self) -> None:
        """Wake up those who wait for a condition."""

        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(notify())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    def opened(self, connection: "_Connection") -> None:
        """Count a new connection."""
        self.connections += 1
        self._open.add(connection)

    def closed(self, connection: "_Connection", exchange: Exchange | None) -> None:
        """Count a connection out, and a client that left before its answer was complete."""
        self._open.discard(connection)
        if exchange is not None and not exchange.complete:
            self.departures += 1
        self.notice()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


class _Connection(asyncio.Protocol):
    """A connection: one request after the other, each answered in a task of its own."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self, self._exchange)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.set_writable(False)

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.set_writable(True)

    def abort(self) -> None:
        if self._exchange is not None:
            # The server ends it, so it is no departure of the client.
            self._exchange.complete = True
        self._transport.abort()

    def _advance(self) -> None:
        """Begin to answer the next request, if the last is done and a whole one is there."""
        if self._task is not None or (request := self._take_request()) is None:
            return
        self._exchange = Exchange(request, self._transport)
        self._server.requests.append(request)
        self._server.notice()
        self._task = asyncio.get_running_loop().create_task(self._server.answer(self._exchange))
        self._task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._transport.abort()
            raise error
        if not self._transport.is_closing():
            self._advance()

    def _take_request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        whole = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < whole:
            return None
        body = bytes(self._buffer[end + 4 : whole])
        del self._buffer[:whole]
        return Request(method, path, headers, body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
