"""The process that `ingest.py` measures: the whole application, fed by the reader of Twitch's chat.

    python -m benchmarks.ingest_reader URL EVENTS [--archive] [--warm N]
    python -m benchmarks.ingest_reader --parse LINES | --wake-ups RATE

Reads until EVENTS different events have been handed on and are durable, then prints a JSON object;
the first N do not count. The events go through the whole application; with `--archive` it is only
the reader, the bus, the archive and the log, as the application builds them. With `--parse` the
lines of a file are turned into events, and how many a CPU second takes is printed. With
`--wake-ups` an empty loop wakes up RATE times a second, and its share of a core is printed.
"""

import argparse
import asyncio
import gc
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import uvloop

from benchmarks.ingest_corpus import CHANNELS
from understudy.app import Application
from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.archive import Archive
from understudy.engine.channel import Channel, StreamInput
from understudy.events import Event
from understudy.sources.twitch.chat import event_of
from understudy.sources.twitch.irc import TwitchIrc
from understudy.sources.twitch.irc_message import parse
from understudy.storage.engine import Database
from understudy.storage.log_writer import Entry, LogWriter
from understudy.storage.rows import ChatRow, ModerationRow, StreamEventRow

PASSES = 3
NAPPING = 5.0
PATIENCE = 120
"""Seconds after which events that have not come are taken for lost."""


class Measured(msgspec.Struct):
    """Seconds of wall clock and processor, the slowest percent from receipt to disk in ms."""

    wall: float
    cpu: float
    p99: float
    rss_mb: float
    stored: int


def note_durable() -> dict[str, float]:
    """When each event became durable, from now on: the log's acknowledgement is watched."""
    durable: dict[str, float] = {}
    acknowledge = LogWriter._acknowledge

    def noting(log: LogWriter, batch: Sequence[Entry]) -> None:
        now = time.perf_counter()
        for row, _ in batch:
            if isinstance(row, ChatRow | StreamEventRow | ModerationRow):
                durable[row.event.id] = now
        acknowledge(log, batch)

    LogWriter._acknowledge = noting
    return durable


class Ingest:
    """Hands events to the application and keeps the times."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._warm = options.warm
        self._count = options.events
        self._straight = options.archive
        self.arrived: dict[str, float] = {}
        self.all_here = asyncio.Event()
        self.begun = (0.0, 0.0)
        self._channels: dict[str, Channel] = {}
        self._bus = Bus()

    async def run(self, url: str, data: Path) -> Measured:
        durable = note_durable()
        async with self._store(data) if self._straight else self._application(data) as log:
            source = TwitchIrc(CHANNELS, url)
            task = asyncio.create_task(source.run(self.publish), name="source")
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self.all_here.wait()
            await self._bus.drained()
            await log.flushed()
            wall, cpu = time.perf_counter() - self.begun[0], time.process_time() - self.begun[1]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        late = list(self.arrived.items())[self._warm :]
        waits = sorted(durable[event] - at for event, at in late if event in durable)
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return Measured(wall, cpu, waits[len(waits) * 99 // 100] * 1000, rss, len(waits))

    @asynccontextmanager
    async def _store(self, data: Path) -> AsyncIterator[LogWriter]:
        """Bus, archive, log and database as the application has them, and nothing else."""
        database = await Database.open(f"sqlite+aiosqlite:///{data}/understudy.db")
        log = LogWriter(database)
        await log.start()
        archive = Archive(self._bus, log)
        archive.start()
        yield log
        await archive.close()
        await log.close()
        await database.close()

    @asynccontextmanager
    async def _application(self, data: Path) -> AsyncIterator[LogWriter]:
        settings = Settings.model_validate(
            {"server": {"data_dir": str(data)}, "brain": {"provider": "scripted"}}
        )
        async with Application(settings) as application:
            services = application.services
            self._bus = services.bus
            for name in CHANNELS:
                channel = Channel(name, settings, services.turns, services.bus.publish)
                await services.channels.add(channel)
                await services.sessions.get_or_create(channel.session, "chat", "default")
                self._channels[name] = channel
            yield services.log

    async def publish(self, event: Event) -> None:
        if len(self.arrived) == self._warm:
            self.begun = (time.perf_counter(), time.process_time())
        self.arrived.setdefault(event.id, time.perf_counter())
        if self._straight:
            await self._bus.publish(event)
        else:
            assert isinstance(event, StreamInput)
            await self._channels[event.channel].receive(event)
        if len(self.arrived) == self._count:
            self.all_here.set()


def parse_rate(path: Path) -> float:
    """Lines a CPU second turned into events; a first pass over them does not count."""
    lines = path.read_text(encoding="utf-8").split("\n")
    gc.freeze()
    started = 0.0
    for number in range(PASSES + 1):
        if number == 1:
            started = time.process_time()
        for line in lines:
            event_of(parse(line), 0)
    return PASSES * len(lines) / (time.process_time() - started)


async def wake_ups(rate: float) -> float:
    """The share of a core that an event loop takes which has nothing to do, but often."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(int(NAPPING * rate)):
        await asyncio.sleep(1 / rate)
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("events", nargs="?", type=int, default=0)
    parser.add_argument("--archive", action="store_true")
    parser.add_argument("--warm", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder for the database; it stays")
    parser.add_argument("--parse", type=Path)
    parser.add_argument("--wake-ups", type=float)
    given = parser.parse_args()
    if given.wake_ups:
        print(uvloop.run(wake_ups(given.wake_ups)))
        return
    if given.parse:
        print(parse_rate(given.parse))
        return
    with tempfile.TemporaryDirectory() as temporary:
        measured = uvloop.run(Ingest(given).run(given.url, given.data or Path(temporary)))
    print(msgspec.json.encode(measured).decode())


if __name__ == "__main__":
    main()
