"""Plays a recorded chat through the whole pipeline, at any speed, and reports what came of it.

Owns the pace and the report. Everything else is the real thing: the same channel, director, turns
and log as live. At full speed time is simulated and nothing waits, so a seed and the scripted
brain give the same report every time.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from understudy.config import Settings
from understudy.engine.channel import Channel, StreamInput
from understudy.engine.channels import Channels
from understudy.engine.clock import Clock, ScaledClock, SimulatedClock
from understudy.engine.sessions import SessionEnded, SessionManager
from understudy.engine.statistics import EmoteReader, no_emotes
from understudy.engine.turns import Turns
from understudy.events import Event, new_id
from understudy.mood.curve import MoodCurves
from understudy.safety.moderation import InputFilter
from understudy.sources.recordings import BadLine, RecordingError, count_hint, read_recording
from understudy.sources.rehearsal_report import RehearsalReport
from understudy.storage.errors import StorageError

logger = logging.getLogger(__name__)

State = Literal["uploading", "running", "finished", "stopped", "failed"]

KEPT_REHEARSALS = 20
PLAY_OUT_STEP_MS = 1_000
"""Stream time between two looks at whether everything at the end of a recording is settled."""
SPOOL_SECONDS = 86_400
"""Age from which an upload that a crash left behind is removed."""
TURN_OF_LOOP = 32
"""Lines between two turns of the event loop at full speed, so that sockets keep up."""


class RehearsalBusy(Exception):
    """The channel is being played already, or the rehearsal was started before."""


class RehearsalOptions(msgspec.Struct, frozen=True):
    """How to play: `speed` times real time (None = as fast as possible), with a seed.

    `channel` replaces the recorded one when it is not empty.
    """

    speed: float | None = None
    seed: int = 0
    channel: str = ""


class RehearsalParts(msgspec.Struct, frozen=True):
    """What a rehearsal needs of the application.

    `make_turns` builds turns for a clock, with a brain of the given seed that does not wait
    between words when the last argument is false. `make_moods` follows the mood of a rehearsal
    of its own; None where no mood is wanted. It reads files.
    """

    settings: Settings
    channels: Channels
    sessions: SessionManager
    publish: Callable[[Event], Awaitable[None]]
    settled: Callable[[], Awaitable[None]]
    make_turns: Callable[[Clock, Callable[[Event], Awaitable[None]], int, bool], Turns]
    emotes_of: EmoteReader = no_emotes
    make_moods: Callable[[], MoodCurves] | None = None


class Rehearsal:
    """One recording being played."""

    def __init__(self, options: RehearsalOptions, parts: RehearsalParts) -> None:
        self.id = new_id("rehearsal_")
        self.options = options
        self.state: State = "uploading"
        self.error = ""
        self.played = 0
        self.total = 0
        self.task: asyncio.Task[None] | None = None
        self.spool: Path | None = None
        self._parts = parts
        self._stop = asyncio.Event()
        self._clock: Clock = SimulatedClock()
        self._turns: Turns | None = None
        self._filter = InputFilter(parts.settings.safety.blocked_words)
        self._channels: dict[str, Channel] = {}
        # In simulated time: the channels where something falls due, and when.
        self._due: dict[str, int] = {}
        self._report = RehearsalReport(parts.emotes_of, parts.settings.director.bots)

    def stop(self) -> None:
        """End the playing at the next event; an upload that was not played is thrown away."""
        self._stop.set()
        for channel in self._channels.values():
            channel.skip()
        if self.state == "uploading":
            self.state = "stopped"
            self._discard()

    async def play(self, source: Path | BinaryIO) -> None:
        """Play `source` to its end. Never raises: the state says how it ended.

        The state changes last: whoever sees it may play the same channel and read the archive.
        """
        if self._stop.is_set():
            self.state = "stopped"
            self._discard()
            return
        self.state = "running"
        try:
            try:
                await self._play(source)
            finally:
                await self._close()
        except asyncio.CancelledError:
            self.state = "stopped"
            raise
        except (RecordingError, SessionEnded, StorageError) as error:
            self.state, self.error = "failed", str(error)
        except Exception:
            logger.exception("rehearsal %s broke down", self.id)
            self.state, self.error = "failed", "the rehearsal broke down: see the server's log"
        else:
            self.state = "stopped" if self._stop.is_set() else "finished"

    def describe(self) -> dict[str, Any]:
        """Where it stands."""
        return {
            "id": self.id,
            "state": self.state,
            "error": self.error,
            "played": self.played,
            "total": max(self.total, self.played),
            "channel": ", ".join(self._report.channels) or self.options.channel,
        }

    def report(self) -> dict[str, Any] | None:
        """What came of it, once it has ended. Holds no wall-clock time: it repeats exactly."""
        if self.state in {"uploading", "running"}:
            return None
        return {
            "seed": self.options.seed,
            "speed": self.options.speed or "max",
            "state": self.state,
            **self._report.to_dict(),
        }

    def add_piece(self, piece: bytes) -> None:
        """Add a piece of an uploaded recording."""
        if self.spool is None or self.state != "uploading":
            raise RehearsalBusy("the rehearsal takes no upload: it was started or stopped")
        with self.spool.open("ab") as file:
            file.write(piece)

    async def _play(self, source: Path | BinaryIO) -> None:
        started = False
        recording = read_recording(source, channel=self.options.channel)
        for number, item in enumerate(recording, 1):
            if number % TURN_OF_LOOP == 0:
                await asyncio.sleep(0)
            if self._stop.is_set():
                return
            if isinstance(item, BadLine):
                self._report.note_bad(item)
                continue
            if not started:
                await self._start(item.ts)
                started = True
            await self._play_event(item)
        if started:
            await self._play_out()

    async def _start(self, origin: int) -> None:
        speed = self.options.speed
        self._clock = SimulatedClock(origin) if speed is None else ScaledClock(origin, speed)
        self._turns = self._parts.make_turns(
            self._clock, self._note, self.options.seed, speed is not None
        )
        if self._parts.make_moods is not None:
            self._report.moods = await asyncio.to_thread(self._parts.make_moods)

    async def _play_event(self, event: StreamInput) -> None:
        channel = self._channels.get(event.channel) or await self._open(event.channel)
        if isinstance(self._clock, SimulatedClock):
            await self._advance(event.ts)
            self._clock.set(event.ts)
        else:
            await self._wait_until(event.ts)
            if self._stop.is_set():
                return
        await channel.receive(event)
        self._note_due(channel)
        self.played += 1

    async def _advance(self, to: int) -> None:
        """Simulated time: what falls due in any channel until `to`, in order of time."""
        while self._due:
            name = min(self._due, key=self._due.__getitem__)
            wake = self._due[name]
            if wake > to:
                return
            await self._channels[name].advance(wake)
            self._note_due(self._channels[name])

    def _note_due(self, channel: Channel) -> None:
        wake = channel.director.wake_at()
        if wake is None:
            self._due.pop(channel.name, None)
        else:
            self._due[channel.name] = wake

    async def _wait_until(self, ts: int) -> None:
        delay = self._clock.real_seconds(ts - self._clock.now())
        if delay <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(delay):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _play_out(self) -> None:
        """Let what still waits be answered or grow too old."""
        directors = [channel.director for channel in self._channels.values()]
        # What waits gets no longer than it may wait anyway.
        while ends := [end for director in directors if (end := director.settled_by())]:
            if isinstance(self._clock, SimulatedClock):
                await self._advance(max(ends))
                return
            await self._wait_until(min(max(ends), self._clock.now() + PLAY_OUT_STEP_MS))
            if self._stop.is_set():
                return

    async def _open(self, name: str) -> Channel:
        assert self._turns is not None, "a channel is opened after the start"
        channel = Channel(
            name,
            self._parts.settings,
            self._turns,
            self._note,
            clock=self._clock,
            origin="rehearsal",
            run_prefix=f"rehearsal_{self.options.seed or self.id}_{name}_",
            input_filter=self._filter,
        )
        try:
            await self._parts.channels.add(channel)
        except ValueError as error:
            raise RecordingError(str(error)) from None
        self._channels[name] = channel
        self._report.channels.append(name)
        sessions = self._parts.sessions
        persona = self._parts.settings.persona.default
        await sessions.get_or_create(channel.session, "chat", persona, channel=name)
        await sessions.clear(channel.session)
        return channel

    async def _close(self) -> None:
        self._discard()
        if self._turns is not None and self._stop.is_set():
            await self._turns.close()
        for channel in self._channels.values():
            await self._parts.channels.remove(channel)
        if self._turns is not None:
            await self._turns.close()
        # The report is kept for a while; replies and memories need not be.
        self._channels, self._turns = {}, None
        await self._parts.settled()

    def _discard(self) -> None:
        if self.spool is not None:
            self.spool.unlink(missing_ok=True)
            self.spool = None

    async def _note(self, event: Event) -> None:
        """Hand an event to the bus and keep what the report tells of it."""
        await self._parts.publish(event)
        self._report.note(event)


class Rehearsals:
    """The rehearsals of this process: started, found, stopped."""

    def __init__(self, parts: RehearsalParts, spool_folder: Path) -> None:
        self._parts = parts
        self._spool_folder = spool_folder
        self._rehearsals: OrderedDict[str, Rehearsal] = OrderedDict()

    def create(self, options: RehearsalOptions, *, upload: bool = False) -> Rehearsal:
        """A rehearsal that waits for its recording; with `upload`, it takes one piece by piece.

        Raises `RehearsalBusy` when its channel is being played.
        """
        self._refuse_if_played(options.channel)
        rehearsal = Rehearsal(options, self._parts)
        if upload:
            self._spool_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            rehearsal.spool = self._spool_folder / f"{rehearsal.id}.recording"
            rehearsal.spool.touch(mode=0o600)
        self._rehearsals[rehearsal.id] = rehearsal
        for old in list(self._rehearsals.values())[:-KEPT_REHEARSALS]:
            if old.task is None or old.task.done():
                old.stop()
                del self._rehearsals[old.id]
        return rehearsal

    def get(self, rehearsal: str) -> Rehearsal | None:
        """The rehearsal with this id, while it is kept."""
        return self._rehearsals.get(rehearsal)

    def all(self) -> list[Rehearsal]:
        """The rehearsals that are kept, the newest last."""
        return list(self._rehearsals.values())

    def start_sample(self, rehearsal: Rehearsal) -> None:
        """Play the bundled sample stream."""
        self._start(rehearsal, sample_path())

    def start_upload(self, rehearsal: Rehearsal) -> None:
        """Play what was uploaded."""
        if rehearsal.spool is None:
            raise RehearsalBusy("there is nothing to play: upload the recording first")
        self._start(rehearsal, rehearsal.spool)

    async def close(self) -> None:
        """Stop all of them and wait."""
        running = [r.task for r in self._rehearsals.values() if r.task and not r.task.done()]
        for rehearsal in self._rehearsals.values():
            rehearsal.stop()
        if running:
            await asyncio.wait(running)

    def _start(self, rehearsal: Rehearsal, path: Path) -> None:
        if rehearsal.state != "uploading":
            raise RehearsalBusy("the rehearsal was started or stopped: create another")
        self._refuse_if_played(rehearsal.options.channel)
        rehearsal.total = count_hint(path)
        rehearsal.state = "running"
        rehearsal.task = asyncio.create_task(rehearsal.play(path), name=rehearsal.id)

    def _sweep(self) -> None:
        """Remove uploads that a crash left behind."""
        old = time.time() - SPOOL_SECONDS
        for spool in self._spool_folder.glob("*.recording"):
            if spool.stat().st_mtime < old:
                spool.unlink(missing_ok=True)

    def _refuse_if_played(self, channel: str) -> None:
        # One that was just started has not opened its channel yet.
        playing = {r.options.channel for r in self._rehearsals.values() if r.state == "running"}
        if channel and channel in playing.union(self._parts.channels.names()):
            raise RehearsalBusy(f"channel {channel} is being played already: stop it first")


def sample_path() -> Path:
    """The bundled sample stream."""
    return Path(str(files("understudy.sources").joinpath("sample_stream.jsonl")))
