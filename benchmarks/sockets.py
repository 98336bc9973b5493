"""What live sockets cost: idle memory, broadcasting, and one viewer that stops reading.

Each server runs in a process of its own; the viewers are raw sockets in this one, so that the
figures are the servers' and not a client library's. The peer in the same run is a plain
`websockets` server without compression that sends with `websockets.broadcast`.

    python benchmarks/sockets.py [--idle 5000] [--viewers 1000] [--rounds 30]
"""

import argparse
import asyncio
import base64
import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

IDLE_GOAL_KIB = 30
SHARE_GOAL = 0.8
TEXT_CHARS = 200
STALLED_MESSAGES = 400
STALLED_CHARS = 64_000


# --- the servers, each in a child process that publishes when it is told to on stdin


async def serve_understudy(folder: str) -> None:
    """Our server; each line on stdin is the length of a chat message to publish."""
    from understudy.app import Application
    from understudy.config import load_settings
    from understudy.events import ChatMessage, new_id, now_ms
    from understudy.server.http import create_server
    from understudy.server.process import GracefulServer

    flags = {"server.data_dir": folder, "server.port": 0, "limits.per_address": 1_000_000}
    settings = load_settings(env={}, env_file=None, flags=flags)
    listener = _listener()
    async with Application(settings) as application:
        server = GracefulServer(create_server(application.services), application.quiesce)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await server.listening.wait()
        print(listener.getsockname()[1], flush=True)
        async for line in _stdin():
            message = ChatMessage(
                id=new_id(), channel="bench", ts=now_ms(), user="ana", text="x" * int(line)
            )
            await application.services.bus.publish(message)
        server.should_exit = True
        await serving


async def serve_websockets() -> None:
    """The plain `websockets` server."""
    import websockets
    from websockets.asyncio.server import ServerConnection, serve

    connections: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.discard(connection)

    async with serve(handle, sock=_listener(), compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        async for line in _stdin():
            websockets.broadcast(connections, '{"type":"chat","text":"' + "x" * int(line) + '"}')


def _listener():
    import socket

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(8192)
    return listener


async def _stdin() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


# --- the viewers


class Viewer(asyncio.Protocol):
    """A raw WebSocket client that counts the chat messages it gets."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = bytearray()
        self._open = False
        self.opened = asyncio.get_running_loop().create_future()
        self.count = 0
        self.closed = False
        self._awaited: tuple[int, asyncio.Future[None]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not separator:
                return
            if b" 101 " not in head:
                self.opened.set_exception(RuntimeError(head.decode(errors="replace")))
                return
            self._open = True
            self._buffer = bytearray(rest)
            self.opened.set_result(None)
        self._take_frames()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True

    def until(self, count: int) -> asyncio.Future[None]:
        """Done once `count` chat messages have come."""
        done = asyncio.get_running_loop().create_future()
        if self.count >= count:
            done.set_result(None)
        else:
            self._awaited = (count, done)
        return done

    def _take_frames(self) -> None:
        buffer = self._buffer
        while len(buffer) >= 2:
            size, start = buffer[1] & 127, 2
            if size == 126:
                size, start = int.from_bytes(buffer[2:4]), 4
            elif size == 127:
                size, start = int.from_bytes(buffer[2:10]), 10
            if len(buffer) < start + size:
                return
            if buffer[0] & 15 == 1:
                self.count += buffer.count(b'"type":"chat"', start, start + size)
            del buffer[: start + size]
        if self._awaited and self.count >= self._awaited[0]:
            self._awaited[1].set_result(None)
            self._awaited = None


class Server:
    """A server process, and how to make it publish."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, path: str) -> None:
        self.process, self.port, self.path = process, port, path

    async def viewers(self, count: int) -> list[Viewer]:
        """Open `count` viewers."""
        loop = asyncio.get_running_loop()
        opened: list[Viewer] = []
        for _ in range(count):
            _, viewer = await loop.create_connection(
                lambda: Viewer(self.path), "127.0.0.1", self.port
            )
            opened.append(viewer)
        await asyncio.gather(*(viewer.opened for viewer in opened))
        return opened

    def publish(self, chars: int) -> None:
        """Make it publish a message of `chars` characters."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{chars}\n".encode())

    def memory(self) -> int:
        """Bytes of private and shared memory it holds (proportional set size)."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        (line,) = [line for line in rollup.splitlines() if line.startswith("Pss:")]
        return int(line.split()[1]) * 1024


@contextlib.asynccontextmanager
async def started(name: str) -> AsyncIterator[Server]:
    """A server process: `understudy` or `websockets`."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            "--serve",
            name,
            "--folder",
            folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(await process.stdout.readline())
        path = "/ws/overlay/chat" if name == "understudy" else "/"
        try:
            yield Server(process, port, path)
        finally:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


def close(viewers: list[Viewer]) -> None:
    for viewer in viewers:
        viewer.transport.abort()


# --- what is measured


async def idle_kib(name: str, count: int) -> float:
    """KiB of server memory for each of `count` idle viewers."""
    async with started(name) as server:
        close(await server.viewers(50))
        before = server.memory()
        viewers = await server.viewers(count)
        kib = (server.memory() - before) / 1024 / count
        close(viewers)
        return kib


async def deliveries(name: str, count: int, rounds: int) -> float:
    """Deliveries per second when one message goes to `count` viewers, one round at a time."""
    async with started(name) as server:
        viewers = await server.viewers(count)
        taken: list[float] = []
        for number in range(1, rounds + 4):
            waiting = asyncio.gather(*(viewer.until(number) for viewer in viewers))
            begin = time.perf_counter()
            server.publish(TEXT_CHARS)
            await asyncio.wait_for(waiting, 30)
            taken.append(time.perf_counter() - begin)
        close(viewers)
        # The first rounds warm up both sides.
        return count / statistics.median(taken[3:])


async def stalled(name: str) -> tuple[int, float]:
    """(fewest messages the 19 that read got of 400, growth of memory in MiB)."""
    async with started(name) as server:
        viewers = await server.viewers(20)
        before = server.memory()
        viewers[0].transport.pause_reading()
        reading = viewers[1:]
        peak = before
        for number in range(1, STALLED_MESSAGES + 1):
            server.publish(STALLED_CHARS)
            if number % 20 == 0:
                waiting = [viewer.until(number) for viewer in reading]
                await asyncio.wait(waiting, timeout=5)
                peak = max(peak, server.memory())
        fewest = min(viewer.count for viewer in reading)
        close(viewers)
        return fewest, (peak - before) / 2**20


async def measure(options: argparse.Namespace) -> None:
    print(f"{'':34}{'understudy':>14}{'websockets':>14}")
    ours, theirs = [await idle_kib(name, options.idle) for name in ("understudy", "websockets")]
    print(
        f"KiB per idle viewer, {options.idle:,} of them{'':3}{ours:>12.1f}{theirs:>14.1f}"
        f"   (goal <= {IDLE_GOAL_KIB})"
    )
    shares: list[float] = []
    for _ in range(3):
        ours = await deliveries("understudy", options.viewers, options.rounds)
        theirs = await deliveries("websockets", options.viewers, options.rounds)
        shares.append(ours / theirs)
        print(
            f"deliveries/s to {options.viewers:,} viewers{'':7}{ours:>14,.0f}{theirs:>14,.0f}"
            f"   ratio {ours / theirs:.2f}"
        )
    print(f"median ratio {statistics.median(shares):.2f} (goal >= {SHARE_GOAL})")
    for name in ("understudy", "websockets"):
        fewest, growth = await stalled(name)
        print(
            f"one of 20 stops reading, {name}: the others got {fewest} of {STALLED_MESSAGES}, "
            f"memory grew by {growth:.1f} MiB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=5_000)
    parser.add_argument("--viewers", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--serve", choices=["understudy", "websockets"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    import uvloop

    if options.serve == "understudy":
        uvloop.run(serve_understudy(options.folder))
    elif options.serve == "websockets":
        uvloop.run(serve_websockets())
    else:
        uvloop.run(measure(options))


if __name__ == "__main__":
    main()
