"""The socket to Twitch's IRC: lines in, lines out, over a WebSocket or plain TCP.

Owns connecting, the cutting of bytes into lines and their decoding. Does not own what the lines
say (`irc_session`).

A line ends where the bytes for a line feed stand and nowhere else, and is decoded afterwards: no
packet border splits a character, and no character of a text can end a line. Bytes that are no
UTF-8 become U+FFFD.
"""

import asyncio
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

LINE_BYTES = 1024 * 1024
"""Longest line or frame; a server that sends more is left. Twitch's are below 24 kB."""

_CHUNK = 64 * 1024
_WAITING_FRAMES = 256
_CLOSE_SECONDS = 1.0
_IRC_PORT = 6667


class LinkError(Exception):
    """The connection cannot be made or has ended; the message says why in one sentence."""


class Link(Protocol):
    """A connection that speaks lines."""

    async def read(self) -> list[str]:
        """The next lines, at least one; raises `LinkError` when no more can come."""
        ...

    async def send(self, line: str) -> None:
        """Send one line, given without its end; raises `LinkError`."""
        ...

    async def close(self) -> None:
        """Leave; safe to call twice."""
        ...


async def open_link(url: str, seconds: float) -> Link:
    """A connection to `wss://…`, `ws://…` or `tcp://host[:port]`, made within `seconds`.

    Raises `LinkError`.
    """
    host = urlsplit(url).hostname or url
    try:
        async with asyncio.timeout(seconds):
            return await (_open_tcp(url) if url.startswith("tcp://") else _open_websocket(url))
    except TimeoutError:
        raise LinkError(f"{host} did not answer within {seconds:g} s") from None
    except OSError as error:
        raise LinkError(f"{host} cannot be reached: {error.strerror or error}") from None
    except WebSocketException as error:
        raise LinkError(f"{host} cannot be talked to: {error}") from None


async def _open_websocket(url: str) -> Link:
    # Liveness is checked by the session: an answer to a ping of the socket proves no chat.
    socket = await connect(
        url,
        compression=None,
        ping_interval=None,
        open_timeout=None,
        close_timeout=_CLOSE_SECONDS,
        max_size=LINE_BYTES,
        max_queue=_WAITING_FRAMES,
    )
    return _WebSocketLink(socket)


async def _open_tcp(url: str) -> Link:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or _IRC_PORT, limit=_CHUNK
    )
    return _TcpLink(reader, writer)


class _WebSocketLink:
    """Each message of the socket holds whole lines."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def read(self) -> list[str]:
        lines: list[str] = []
        try:
            while not lines:
                # As bytes: a text frame with bad UTF-8 would end the connection.
                lines = _lines(await self._socket.recv(decode=False))
        except WebSocketException as error:
            raise LinkError(f"the connection ended: {error}") from None
        return lines

    async def send(self, line: str) -> None:
        try:
            await self._socket.send(line)
        except WebSocketException as error:
            raise LinkError(f"the connection ended: {error}") from None

    async def close(self) -> None:
        await self._socket.close()


class _TcpLink:
    """A stream of bytes in which lines may be cut anywhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._begun = b""

    async def read(self) -> list[str]:
        lines: list[str] = []
        while not lines:
            whole, end, self._begun = (self._begun + await self._receive()).rpartition(b"\n")
            if end:
                lines = _lines(whole)
            if len(self._begun) > LINE_BYTES:
                raise LinkError(f"the server sent a line of more than {LINE_BYTES:,} bytes")
        return lines

    async def send(self, line: str) -> None:
        try:
            self._writer.write(f"{line}\r\n".encode())
            await self._writer.drain()
        except OSError as error:
            raise LinkError(f"the connection ended: {error}") from None

    async def close(self) -> None:
        self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def _receive(self) -> bytes:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as error:
            raise LinkError(f"the connection ended: {error}") from None
        if not data:
            raise LinkError("the server closed the connection")
        return data


def _lines(data: bytes) -> list[str]:
    """The lines in `data`, without their ends, without NUL and without empty ones."""
    text = data.decode(errors="replace")
    if "\0" in text:
        text = text.replace("\0", "")
    text = text.removesuffix("\r").replace("\r\n", "\n")
    return [line for line in text.split("\n") if line]
