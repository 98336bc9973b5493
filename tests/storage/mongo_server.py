"""A MongoDB to test against, behind a gate that can be shut and opened again.

The server is `nx-27017`, which speaks MongoDB's wire protocol and keeps everything in SQLite. It
is not MongoDB: `UNDERSTUDY_TEST_MONGO_URI` names a real one to use beside it. Documents of a test
have a channel of their own and are removed at its end, nothing else on the server is touched.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from socket import create_connection, create_server
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from understudy.storage.mongo_client import CLASSIFICATION, DATABASE, MESSAGES, PROGRESS, place_of
from understudy.storage.mongo_documents import ids_of

Collection = AsyncCollection[dict[str, Any]]


@contextmanager
def wire_server(folder: Path) -> Iterator[str]:
    """The address of an `nx-27017` process that keeps its documents in `folder`."""
    pytest.importorskip("nx_27017", reason="the MongoDB wire-protocol server is missing")
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Its own files: by default all servers of a machine share one, and the second refuses.
    files = [
        f"--{option}={folder / name}"
        for option, name in [("db", "mongo.db"), ("pid-file", "pid"), ("log-file", "log")]
    ]
    output = folder / "output"
    with output.open("wb") as sink:
        command = [sys.executable, "-m", "nx_27017.nx_27017", *files, "-p", str(port)]
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        _wait_for(process, port, output)
        yield f"mongodb://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, output: Path) -> None:
    """Wait until the server takes connections."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text(encoding="utf-8")
        with contextlib.suppress(OSError), create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nx-27017 does not answer: {output.read_text(encoding='utf-8')}")


class Gate:
    """Passes connections on to a server while it is open; shut, it refuses and cuts them."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._passing: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.passed = 0
        self.shut_after: int | None = None
        self.port = 0

    async def open(self) -> None:
        """Let connections through, on the same port as ever."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections and break those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        passing = {t: w for t, w in self._passing.items() if t is not asyncio.current_task()}
        for writer in passing.values():
            writer.transport.abort()
        await asyncio.gather(*passing, return_exceptions=True)

    async def _pass(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing[task] = back
        try:
            server, forth = await asyncio.open_connection(*self._target)
        except OSError:
            del self._passing[task]
            back.transport.abort()
            return
        answering = asyncio.create_task(_copy(server, back))
        try:
            await self._forward(client, forth)
        except OSError:
            return
        finally:
            del self._passing[task]
            back.transport.abort()
            forth.transport.abort()
            await answering

    async def _forward(self, client: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        while data := await client.read(65_536):
            self.passed += len(data)
            if self.shut_after is not None and self.passed > self.shut_after:
                self.shut_after = None
                await self.shut()
                return
            forth.write(data)
            await forth.drain()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()


class MongoServer:
    """A server behind a gate, and the documents of one test's channels."""

    def __init__(self, url: str, gate: Gate, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self.gate = gate
        self._database = client[DATABASE]
        self._direct = url

    @property
    def url(self) -> str:
        """The address to copy to; it leads through the gate."""
        address = self._direct.replace(place_of(self._direct), f"127.0.0.1:{self.gate.port}", 1)
        return f"{address}{'&' if '?' in address else '?'}directConnection=true"

    @property
    def messages(self) -> Collection:
        return self._database[MESSAGES]

    @property
    def classification(self) -> Collection:
        return self._database[CLASSIFICATION]

    @property
    def progress(self) -> Collection:
        return self._database[PROGRESS]

    async def all(self, collection: Collection, channel: str) -> list[dict[str, Any]]:
        """The documents of `channel` in order of their ids."""
        return await collection.find({"_id": ids_of(channel)}).sort("_id", 1).to_list()

    async def forget(self, *channels: str) -> None:
        """Remove what a test wrote."""
        for channel in channels:
            for collection in (self.messages, self.classification):
                await collection.delete_many({"_id": ids_of(channel)})


@asynccontextmanager
async def behind_gate(url: str) -> AsyncGenerator[MongoServer]:
    """The server at `url`, through an open gate."""
    host, _, port = place_of(url).rpartition(":")
    gate = Gate(host, int(port))
    await gate.open()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, tz_aware=True)
    try:
        server = MongoServer(url, gate, client)
        known = await server.progress.distinct("_id")
        yield server
        await server.progress.delete_many({"_id": {"$nin": known}})
    finally:
        await client.close()
        await gate.shut()


async def eventually(answers: AsyncIterator[bool]) -> None:
    """Wait until one of the answers is yes."""
    async with asyncio.timeout(60):
        async for yes in answers:
            if yes:
                return
            await asyncio.sleep(0.02)
