"""Twitch's chat server, as far as a reader without an account sees it, over ws and tcp.

It answers CAP, NICK, JOIN and PING as Twitch does and then says the lines it was given, in order,
to everyone who has joined their channel; while nobody has, it waits. It keeps a record of what it
said and heard. Both protocols share a port: who begins with `GET ` gets a WebSocket.

    Script(lines, rate=1_000, faults={500: "close", 900: "reconnect"}, fragment=0.5, twice=0.02)

A line is said before its number: `faults={0: …}` strikes before the first. Also a process of its
own, which prints its port and says the lines of a file:

    python -m tests.fakes.twitch_irc --lines lines.txt --rate 300
"""

import argparse
import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self, cast

import msgspec
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

Fault = Literal[
    "close",  # every connection is closed in good order; nothing on its way is lost
    "reset",  # every connection is reset; what was not read yet is lost
    "stall",  # every connection goes silent for ever, and stays open
    "reconnect",  # RECONNECT is said; those who heard it are served until they leave
    "reconnect_close",  # RECONNECT is said and the connections are closed at once
]

MALFORMED = (
    "",
    " ",
    ":",
    "@",
    "@a=b",
    "@a=b :tmi.twitch.tv",
    "@a=b : TEST",
    ":tmi.twitch.tv",
    ":tmi.twitch.tv NOTICE",
    ":tmi.twitch.tv PRIVMSG",
    ":x!x@x PRIVMSG #mara",
    ":x!x@x PRIVMSG :",
    "PRIVMSG #mara :nobody said this",
    "@id=1;;;=;x :x!x@x PRIVMSG mara :no channel",
    "@target-msg-id= :tmi.twitch.tv CLEARMSG #mara :x",
    ":tmi.twitch.tv CLEARCHAT",
    ":tmi.twitch.tv CLEARCHAT #mara :",
    ":tmi.twitch.tv USERNOTICE",
    ":tmi.twitch.tv ROOMSTATE",
    "P!NG",
    "PØNG",
    "\x01\x02\x03",
    "\ufeffPING",
    "JOIN",
)
"""Lines that are no chat, each alone; some are no IRC at all."""

_CHANNEL = re.compile(r" #(\w+)")
_BATCH = 64
_TICK = 0.002


class Script(msgspec.Struct, frozen=True):
    """What is said and what goes wrong. `rate` in lines per second; 0 = as fast as they are taken.

    `fragment`, `malformed` and `twice` are shares: of writes cut into pieces, of lines with a bad
    one before them, of lines said twice. `missing` channels do not exist, `silent` ones never
    answer a JOIN. Lines may be bytes, to hold what is no UTF-8.
    """

    lines: Sequence[str | bytes] = ()
    rate: float = 0.0
    faults: Mapping[int, Fault] = {}
    fragment: float = 0.0
    malformed: float = 0.0
    twice: float = 0.0
    missing: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    deaf: bool = False
    """Never answers a PING."""


class Heard(msgspec.Struct, frozen=True):
    """A line a client sent: on which connection (from 1), when (monotonic seconds), what."""

    connection: int
    at: float
    line: str


class TwitchIrcServer:
    """Says a script on a free loopback port from `async with` on."""

    def __init__(self, script: Script | None = None, *, seed: int = 1) -> None:
        self.script = script or Script()
        self.said: list[str | bytes] = []
        self.heard: list[Heard] = []
        self.connections = 0
        self.port = 0
        self._open: set[_Connection] = set()
        self._random = random.Random(seed)
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def tcp_url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def heard_lines(self, beginning: str) -> list[Heard]:
        """What clients sent that begins so."""
        return [heard for heard in self.heard if heard.line.startswith(beginning)]

    def say(self, *lines: str | bytes) -> None:
        """Say lines at once to whoever has joined."""
        self._say(lines, [_channel_of(line) for line in lines])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` of this server holds."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def finished(self) -> None:
        """Wait until the whole script has been said."""
        await self.until(lambda: len(self.said) >= len(self.script.lines))

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._spawn(self._play())

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._open):
            connection.reset()
        await self.until(lambda: not self._open)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def strike(self, fault: Fault, connection: int = 0) -> None:
        """Let `fault` happen now to one connection, or to all; none is asked to leave twice."""
        for struck in list(self._open):
            if connection not in {0, struck.number}:
                continue
            if fault.startswith("reconnect") and not struck.leaving:
                struck.write([":tmi.twitch.tv RECONNECT"])
                struck.leaving = True
            if fault in {"close", "reconnect_close"}:
                struck.close()
            elif fault == "reset":
                struck.reset()
            elif fault == "stall":
                struck.over = struck.stalled = True

    def opened(self, connection: "_Connection") -> int:
        self.connections += 1
        self._open.add(connection)
        self.notice()
        return self.connections

    def closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self.notice()

    def notice(self) -> None:
        """Wake up those who wait for a condition."""

        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._spawn(notify())

    def piece(self, data: bytes) -> int:
        """How much of `data` to send at first; the rest follows a moment later."""
        if len(data) < 2 or self._random.random() >= self.script.fragment:
            return len(data)
        return self._random.randrange(1, len(data))

    async def _play(self) -> None:
        script = self.script
        lines = script.lines
        channels = [_channel_of(line) for line in lines]
        number, started = 0, 0.0
        while number < len(lines):
            if number in script.faults:
                await self.until(lambda: any(c.listens("") and not c.leaving for c in self._open))
                self.strike(script.faults[number])
            await self._audience(channels[number])
            started = started or time.monotonic()
            end = number + await self._due(number, started)
            batch = [number]
            for after in range(number + 1, min(end, len(lines))):
                if after in script.faults or not self._listeners(channels[after]):
                    break
                batch.append(after)
            self._say([lines[n] for n in batch], [channels[n] for n in batch])
            self.said += [lines[n] for n in batch]
            number = batch[-1] + 1
            await asyncio.sleep(0)
        self.notice()

    async def _due(self, number: int, started: float) -> int:
        """How many lines from `number` on are to be said now, at least one."""
        rate = self.script.rate
        if not rate:
            return _BATCH
        wait = started + number / rate - time.monotonic()
        if wait > 0:
            await asyncio.sleep(max(wait, _TICK))
        return max(1, int((time.monotonic() - started) * rate) + 1 - number)

    async def _audience(self, channel: str) -> None:
        """Wait until somebody who can take it has joined the channel."""
        while not (listeners := self._listeners(channel)):
            await self.until(lambda: bool(self._listeners(channel)))
        for connection in listeners:
            await connection.writable.wait()

    def _listeners(self, channel: str) -> list["_Connection"]:
        return [connection for connection in self._open if connection.listens(channel)]

    def _say(self, lines: Sequence[str | bytes], channels: Sequence[str]) -> None:
        """Say each line to those who listen to its channel."""
        script, draw = self.script, self._random.random
        said: list[tuple[str | bytes, str]] = []
        for line, channel in zip(lines, channels, strict=True):
            if script.malformed and draw() < script.malformed:
                said.append((self._random.choice(MALFORMED), channel))
            said.append((line, channel))
            if script.twice and draw() < script.twice:
                said.append((line, channel))
        for connection in self._open:
            if connection.listens(""):
                heard = [line for line, channel in said if connection.listens(channel)]
                connection.write(heard)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(asyncio.Protocol):
    """A client, over whichever of the two protocols it begins to speak."""

    def __init__(self, server: TwitchIrcServer) -> None:
        self._server = server
        self._buffer = b""
        self._websocket: ServerProtocol | None = None
        self._begun = False
        self.nick = ""
        self.joined: set[str] = set()
        self.leaving = False
        self.stalled = False
        # It was closed, or stalls: nothing more is said.
        self.over = False
        self._held = b""
        self.writable = asyncio.Event()
        self.writable.set()

    def listens(self, channel: str) -> bool:
        """Whether it would hear a line of `channel`; an empty one means any."""
        if self.over or self._transport.is_closing():
            return False
        return channel in self.joined if channel else bool(self.joined)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.number = self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        self._server.closed(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        if self.stalled:
            return
        if not self._begun:
            self._begun = True
            speaks_http = data.startswith(b"GET ")
            self._websocket = ServerProtocol(select_subprotocol=_select) if speaks_http else None
        if self._websocket is None:
            self._hear(data)
        else:
            self._unwrap(self._websocket, data)

    def _unwrap(self, websocket: ServerProtocol, data: bytes) -> None:
        websocket.receive_data(data)
        for event in websocket.events_received():
            if isinstance(event, Request):
                websocket.send_response(websocket.accept(event))
            elif isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY}:
                self._hear(bytes(event.data) + b"\n")
        for piece in websocket.data_to_send():
            if piece:
                self._transport.write(piece)
            elif not self.over:
                self.over = True
                self._transport.write_eof()

    def write(self, lines: Sequence[str | bytes]) -> None:
        """Say `lines`, over a WebSocket each in a message of its own."""
        if self.over or self._transport.is_closing():
            return
        encoded = [line.encode() if isinstance(line, str) else line for line in lines]
        if self._websocket is None:
            self._send(b"".join(line + b"\r\n" for line in encoded))
        else:
            self._send(b"".join(map(self._message, encoded)))

    def close(self) -> None:
        """End it in good order: what was said arrives."""
        if self.over:
            return
        self._flush()
        self.over = True
        if self._websocket is not None:
            self._websocket.send_close(1001)
            for piece in self._websocket.data_to_send():
                self._transport.write(piece)
        # Half: with unread bytes a full close would become a reset.
        self._transport.write_eof()

    def _message(self, line: bytes) -> bytes:
        """The frame of a line, or two of them, cut wherever it may be."""
        data = line + b"\r\n"
        first = self._server.piece(data)
        if first == len(data):
            return _frame(Opcode.TEXT, data)
        return _frame(Opcode.TEXT, data[:first], fin=False) + _frame(Opcode.CONT, data[first:])

    def _send(self, data: bytes) -> None:
        data = self._held + data
        now = self._server.piece(data)
        self._transport.write(data[:now])
        self._held = data[now:]
        if self._held:
            asyncio.get_running_loop().call_later(_TICK, self._flush)

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _hear(self, data: bytes) -> None:
        whole, _, self._buffer = (self._buffer + data).rpartition(b"\n")
        for line in whole.decode().replace("\r", "").split("\n"):
            if line:
                self._server.heard.append(Heard(self.number, time.monotonic(), line))
                self._answer(line)
        self._server.notice()

    def _answer(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        if command == "CAP":
            wish = rest.partition(":")[2]
            self.write([f":tmi.twitch.tv CAP * ACK :{wish}"])
        elif command == "NICK":
            self.nick = rest
            numerics = ("001", "002", "003", "004", "375", "372", "376")
            self.write([f":tmi.twitch.tv {number} {rest} :-" for number in numerics])
        elif command == "JOIN":
            for channel in rest.split(","):
                self._join(channel.lstrip("#"))
        elif command == "PING" and not self._server.script.deaf:
            self.write([f":tmi.twitch.tv PONG tmi.twitch.tv {rest}"])

    def _join(self, channel: str) -> None:
        script = self._server.script
        if channel in script.missing:
            text = "This channel does not exist or has been suspended."
            self.write([f"@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #{channel} :{text}"])
        elif channel not in script.silent:
            nick, host = self.nick, "tmi.twitch.tv"
            self.write(
                [
                    f":{nick}!{nick}@{nick}.{host} JOIN #{channel}",
                    f":{nick}.{host} 353 {nick} = #{channel} :{nick}",
                    f":{nick}.{host} 366 {nick} #{channel} :End of /NAMES list",
                    "@emote-only=0;followers-only=-1;r9k=0;room-id=1;slow=0;subs-only=0 "
                    f":{host} ROOMSTATE #{channel}",
                ]
            )
            self.joined.add(channel)
            self._server.notice()


def _channel_of(line: str | bytes) -> str:
    """The channel a line is said in; empty where it names none, then everyone hears it."""
    found = _CHANNEL.search(line) if isinstance(line, str) else None
    return found[1] if found else ""


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Some clients ask for `irc` and leave when it is not granted."""
    return next((protocol for protocol in offered if protocol == "irc"), None)


def _frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    first = (0x80 if fin else 0) | opcode
    if len(data) < 126:
        return struct.pack("!BB", first, len(data)) + data
    if len(data) < 65_536:
        return struct.pack("!BBH", first, 126, len(data)) + data
    return struct.pack("!BBQ", first, 127, len(data)) + data


async def _serve(script: Script, port: int) -> None:
    server = TwitchIrcServer(script)
    await server.start(port)
    print(server.port, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Twitch's chat server as a process of its own")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is printed")
    parser.add_argument("--lines", type=Path, required=True, help="file with the lines to say")
    parser.add_argument("--rate", type=float, default=0.0, help="lines per second; 0 = no limit")
    given = parser.parse_args()
    lines = given.lines.read_text(encoding="utf-8").split("\n")
    asyncio.run(_serve(Script([line for line in lines if line], given.rate), given.port))


if __name__ == "__main__":
    main()
