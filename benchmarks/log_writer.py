"""The durable log against what the same disk and machine can do, in one table.

The goal: at 1,000 producers at least half the rows per second of raw append + fdatasync on the
same disk in the same run, and p99 at most 200 ms. "Raw" is read in both possible ways, and the
goal is held against each:

- the disk's: one loop appends 100 rows encoded beforehand and syncs, over and over; nobody waits;
- the service's: the same 1,000 producers await the same acknowledgement, and a thread encodes,
  appends and syncs whatever has queued up. It is the best that any log in one Python process does,
  without a table, an index or a check for duplicates.

The first is the limit where syncs take milliseconds, the second where the processor runs out
first. Plain SQLite is there to compare: a bare `executemany` of 1,000 rows per commit into the
same table, ids resolved beforehand. Open loop: 5,000 rows arrive per second whatever happens, and
latency counts from the moment a row was due. The database holds 300,000 rows before it starts. All
but the open loop take turns; medians are printed.
"""

import argparse
import asyncio
import gc
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from understudy.events import ChatMessage, now_ms
from understudy.storage import sqlite
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow

RAW_BATCH = 100
TAGS = {
    "badge-info": "subscriber/12",
    "badges": "subscriber/12,premium/1",
    "client-nonce": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "color": "#1E90FF",
    "emotes": "25:0-4,12-16/1902:6-10",
    "first-msg": "0",
    "flags": "",
    "mod": "0",
    "returning-chatter": "0",
    "room-id": "12345678",
    "subscriber": "1",
    "turbo": "0",
    "user-id": "987654321",
    "user-type": "",
}


class Sizes(NamedTuple):
    """How much is measured."""

    prefilled: int
    producers: int
    rounds: int
    seconds: float
    open_rate: int
    open_seconds: float
    made_beforehand: int


FULL = Sizes(300_000, 1_000, 3, 8.0, 5_000, 20.0, 300_000)
QUICK = Sizes(30_000, 1_000, 1, 2.0, 5_000, 3.0, 80_000)


class Measured(NamedTuple):
    """Rows per second, and how long acknowledgements took, in milliseconds."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0


def chat_rows(seed: int) -> Iterator[ChatRow]:
    """Rows like those of 200 busy Twitch channels."""
    draw = random.Random(seed)
    words = ["hello", "chat", "that", "was", "such", "a", "great", "play", "omg", "LUL", "KEKW"]
    start = now_ms() + seed * 10_000_000
    for number in range(10_000_000):
        user = f"viewer_{draw.randrange(20_000)}"
        yield ChatRow(
            ChatMessage(
                id=str(uuid.UUID(int=draw.getrandbits(128))),
                channel=f"channel_{draw.randrange(200)}",
                ts=start + number // 5,
                user=user,
                name=user.title(),
                text=" ".join(draw.choices(words, k=12)),
                tags=TAGS,
            )
        )


def ready_rows(seed: int, sizes: Sizes) -> Iterator[ChatRow]:
    """The same, the first of them made beforehand: making them is not what is measured."""
    rows = chat_rows(seed)
    first = list(islice(rows, sizes.made_beforehand))
    gc.freeze()
    return chain(first, rows)


def percentiles(rate: float, seconds: list[float]) -> Measured:
    cuts = statistics.quantiles(seconds, n=100)
    return Measured(rate, cuts[49] * 1000, cuts[98] * 1000)


def median(rounds: list[Measured]) -> Measured:
    return Measured(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def raw_limit(folder: Path, sizes: Sizes, rows: Iterator[ChatRow]) -> Measured:
    """Rows per second of a plain file that is synced after each batch."""
    encode = msgspec.json.Encoder().encode
    batches = [b"\n".join(encode(next(rows)) for _ in range(RAW_BATCH)) + b"\n" for _ in range(200)]
    path = folder / "raw"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    written = 0
    start = time.perf_counter()
    while time.perf_counter() - start < sizes.seconds:
        os.write(file, batches[written % len(batches)])
        os.fdatasync(file)
        written += 1
    rate = written * RAW_BATCH / (time.perf_counter() - start)
    os.close(file)
    path.unlink()
    return Measured(rate)


class RawLog:
    """A file behind the same queue and acknowledgements: what the log writer would be at best."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._encode = msgspec.json.Encoder().encode
        self._queue: list[tuple[ChatRow, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def append(self, row: ChatRow) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((row, done))
        self._arrived.set()
        await done

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        os.close(self._file)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._queue = self._queue, []
            await asyncio.to_thread(self._write, [row for row, _ in batch])
            for _, done in batch:
                done.set_result(None)

    def _write(self, rows: list[ChatRow]) -> None:
        os.write(self._file, b"\n".join(map(self._encode, rows)))
        os.fdatasync(self._file)


async def raw_service(folder: Path, sizes: Sizes, rows: Iterator[ChatRow]) -> Measured:
    """The closed loop over a plain file."""
    path = folder / "raw"
    log = RawLog(path)
    measured = await closed_loop(log, sizes, rows)
    await log.close()
    path.unlink()
    return measured


def plain_sqlite(folder: Path, sizes: Sizes, rows: Iterator[ChatRow]) -> Measured:
    """Rows per second of `executemany` without a queue, acknowledgements or name look-ups."""
    encode = msgspec.json.Encoder().encode
    places = ", ".join("?" * 12)
    insert = f"INSERT INTO chat_message VALUES (NULL, {places}) ON CONFLICT DO NOTHING"
    batches = [[_columns(next(rows), encode) for _ in range(1_000)] for _ in range(100)]
    written = 0
    with closing(sqlite.connect(folder / "understudy.db")) as connection:
        channels, viewers = (
            dict(connection.execute(f"SELECT {name}, id FROM {table}").fetchall())
            for table, name in (("channel", "name"), ("viewer", "login"))
        )
        start = time.perf_counter()
        while time.perf_counter() - start < sizes.seconds and written < len(batches):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                insert,
                [(channels[c], *a, viewers.get(v, 1), *b) for c, a, v, b in batches[written]],
            )
            connection.execute("COMMIT")
            written += 1
    return Measured(written * 1_000 / (time.perf_counter() - start))


def _columns(row: ChatRow, encode: Callable[[Any], bytes]) -> tuple[str, Any, str, Any]:
    e = row.event
    tail = (e.text, e.role, e.first, e.reply_to, e.reply_to_user, e.name, e.platform)
    return e.channel, (e.ts, e.id), e.user, (*tail, encode(e.tags).decode())


async def prefill(writer: LogWriter, sizes: Sizes, rows: Iterator[ChatRow]) -> None:
    for _ in range(sizes.prefilled):
        await writer.put(next(rows))
    while writer.stats.queued:
        await writer.flushed()


async def closed_loop(
    writer: LogWriter | RawLog, sizes: Sizes, rows: Iterator[ChatRow]
) -> Measured:
    """1,000 producers, each waiting for its row."""
    latencies: list[float] = []
    start = time.perf_counter()

    async def produce() -> None:
        while (begun := time.perf_counter()) - start < sizes.seconds:
            await writer.append(next(rows))
            latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(produce() for _ in range(sizes.producers)))
    return percentiles(len(latencies) / (time.perf_counter() - start), latencies)


async def open_loop(writer: LogWriter, sizes: Sizes, rows: Iterator[ChatRow]) -> Measured:
    """Rows that arrive at a fixed rate; those the log had no room for do not count."""
    latencies: list[float] = []
    total = int(sizes.open_rate * sizes.open_seconds)
    waiting: set[asyncio.Future[None]] = set()
    start = time.perf_counter()

    def submit(due: float) -> None:
        def acknowledged(future: asyncio.Future[None]) -> None:
            waiting.discard(future)
            if future.exception() is None:
                latencies.append(time.perf_counter() - due)

        future = writer.submit(next(rows))
        waiting.add(future)
        future.add_done_callback(acknowledged)

    for number in range(total):
        due = start + number / sizes.open_rate
        if due > time.perf_counter():
            await asyncio.sleep(due - time.perf_counter())
        submit(due)
    if waiting:
        await asyncio.wait(waiting)
    return percentiles(len(latencies) / (time.perf_counter() - start), latencies)


def show(limits: dict[str, Measured], closed: Measured, arriving: Measured, sizes: Sizes) -> None:
    table = Table(title=f"Durable log, {sizes.prefilled:,} rows in the table before")
    for heading in ("", "rows/s", "p50 ms", "p99 ms", "log / this", "goal", "reached"):
        table.add_column(heading, justify="left" if heading in {"", "goal"} else "right")
    for name, limit in limits.items():
        share = closed.rate / limit.rate
        goal = ">= 0.5" if name.startswith("raw") else ""
        times = [f"{ms:.0f}" if ms else "" for ms in (limit.p50, limit.p99)]
        reached = ("yes" if share >= 0.5 else "NO") if goal else ""
        table.add_row(name, f"{limit.rate:,.0f}", *times, f"{share:.2f}", goal, reached)
    kept = arriving.rate >= 0.97 * sizes.open_rate
    for name, got, goal, well in (
        (f"log writer, {sizes.producers:,} producers", closed, "p99 <= 200 ms", True),
        (f"log writer, {sizes.open_rate:,} rows/s arriving", arriving, "and keeps up", kept),
    ):
        reached = "yes" if well and got.p99 <= 200 else "NO"
        row = (f"{got.rate:,.0f}", f"{got.p50:.0f}", f"{got.p99:.0f}", "", goal, reached)
        table.add_row(name, *row)
    Console(width=120).print(table)


async def measure(folder: Path, sizes: Sizes) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{folder}/understudy.db")
    writer = LogWriter(database)
    await writer.start()
    await prefill(writer, sizes, chat_rows(0))
    disk: list[Measured] = []
    service: list[Measured] = []
    plain: list[Measured] = []
    closed: list[Measured] = []
    for number in range(sizes.rounds):
        disk.append(raw_limit(folder, sizes, chat_rows(1)))
        service.append(await raw_service(folder, sizes, ready_rows(200 + number, sizes)))
        plain.append(plain_sqlite(folder, sizes, chat_rows(100 + number)))
        closed.append(await closed_loop(writer, sizes, ready_rows(2 + number, sizes)))
    arriving = await open_loop(writer, sizes, ready_rows(9, sizes))
    await writer.close()
    await database.close()
    limits = {
        "raw, the disk's: 100 rows per sync": median(disk),
        f"raw, the service's: {sizes.producers:,} producers": median(service),
        "plain SQLite, 1,000 rows per commit": median(plain),
    }
    show(limits, median(closed), arriving, sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds, less trustworthy")
    parser.add_argument("--dir", type=Path, help="folder on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder, suppress(KeyboardInterrupt):
        asyncio.run(measure(Path(folder), QUICK if options.quick else FULL))


if __name__ == "__main__":
    main()
