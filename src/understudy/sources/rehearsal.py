"""Plays a recorded chat through the whole pipeline, at any speed, and reports what came of it.

Owns the pace and the report. Everything else is the real thing: the same channel, director, turns
and log as live. At full speed time is simulated and nothing waits, so a seed and the scripted
brain give the same report every time.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from understudy.config import Settings
from understudy.engine.channel import Channel, StreamInput
from understudy.engine.channels import Channels
from understudy.engine.clock import Clock, ScaledClock, SimulatedClock
from understudy.engine.sessions import SessionManager
from understudy.engine.turns import Turns
from understudy.events import (
    ChatMessage,
    Decision,
    Emotion,
    Event,
    Moderation,
    Reply,
    StreamEvent,
    new_id,
)
from understudy.sources.recordings import BadLine, RecordingError, count_hint, read_recording
from understudy.storage.errors import StorageError

logger = logging.getLogger(__name__)

State = Literal["uploading", "running", "finished", "stopped", "failed"]

KEPT_REHEARSALS = 20
REPORTED_BAD_LINES = 100
TURN_OF_LOOP = 32
"""Events between two turns of the event loop at full speed, so that sockets keep up."""


class RehearsalBusy(Exception):
    """The channel is being played already, or the rehearsal was started before."""


class RehearsalOptions(msgspec.Struct, frozen=True):
    """How to play: `speed` times real time (None = as fast as possible), with a seed.

    `channel` replaces the recorded one when it is not empty.
    """

    speed: float | None = None
    seed: int = 0
    channel: str = ""


class Stagehands(msgspec.Struct, frozen=True):
    """What a rehearsal needs of the application.

    `make_turns` builds turns for a clock, with a brain of the given seed that does not wait
    between words when the last argument is false.
    """

    settings: Settings
    channels: Channels
    sessions: SessionManager
    publish: Callable[[Event], Awaitable[None]]
    settled: Callable[[], Awaitable[None]]
    make_turns: Callable[[Clock, Callable[[Event], Awaitable[None]], int, bool], Turns]


class Rehearsal:
    """One recording being played."""

    def __init__(self, options: RehearsalOptions, stagehands: Stagehands) -> None:
        self.id = new_id("rehearsal_")
        self.options = options
        self.state: State = "uploading"
        self.error = ""
        self.played = 0
        self.total = 0
        self.task: asyncio.Task[None] | None = None
        self.spool: Path | None = None
        self._hands = stagehands
        self._stop = asyncio.Event()
        self._clock: Clock = SimulatedClock()
        self._turns: Turns | None = None
        self._channels: dict[str, Channel] = {}
        self._kinds: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._fates: list[dict[str, str]] = []
        self._replies: list[dict[str, Any]] = []
        self._emotions: dict[str, list[str]] = {}
        self._bad_lines: list[dict[str, Any]] = []
        self._bad_count = 0
        self._span: tuple[int, int] | None = None

    def stop(self) -> None:
        """End the playing at the next event; an upload that was not played is thrown away."""
        self._stop.set()
        if self.state == "uploading":
            self.state = "stopped"
            self._discard()

    async def play(self, source: Path | BinaryIO) -> None:
        """Play `source` to its end. Never raises: the state says how it ended.

        The state changes last: whoever sees it may play the same channel and read the archive.
        """
        self.state = "running"
        try:
            try:
                await self._play(source)
            finally:
                await self._close()
        except (RecordingError, StorageError) as error:
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
            "channel": ", ".join(self._channels) or self.options.channel,
        }

    def report(self) -> dict[str, Any] | None:
        """What came of it, once it has ended. Holds no wall-clock time: it repeats exactly."""
        if self.state in {"uploading", "running"}:
            return None
        first, last = self._span or (0, 0)
        return {
            "channels": list(self._channels),
            "seed": self.options.seed,
            "speed": self.options.speed or "max",
            "state": self.state,
            "stream_seconds": (last - first) / 1000,
            "events": dict(sorted(self._kinds.items())),
            "bad_line_count": self._bad_count,
            "bad_lines": self._bad_lines,
            "decisions": {
                f"{action}: {reason}": count
                for (action, reason), count in sorted(self._reasons.items())
            },
            "replies": self._replies,
            "fates": self._fates,
        }

    def add_piece(self, piece: bytes) -> None:
        """Add a piece of an uploaded recording."""
        if self.spool is None:
            raise RehearsalBusy("this rehearsal takes no upload")
        with self.spool.open("ab") as file:
            file.write(piece)

    async def _play(self, source: Path | BinaryIO) -> None:
        started = False
        since_turn = 0
        for item in read_recording(source, channel=self.options.channel):
            if self._stop.is_set():
                return
            if isinstance(item, BadLine):
                self._note_bad(item)
                continue
            if not started:
                await self._start(item.ts)
                started = True
            await self._play_event(item)
            since_turn += 1
            if since_turn >= TURN_OF_LOOP:
                since_turn = 0
                await asyncio.sleep(0)
        if started:
            await self._play_out()

    async def _start(self, origin: int) -> None:
        speed = self.options.speed
        self._clock = SimulatedClock(origin) if speed is None else ScaledClock(origin, speed)
        self._turns = self._hands.make_turns(
            self._clock, self._note, self.options.seed, speed is not None
        )

    async def _play_event(self, event: StreamInput) -> None:
        channel = self._channels.get(event.channel) or await self._open(event.channel)
        if isinstance(self._clock, SimulatedClock):
            await channel.advance(event.ts)
            self._clock.set(event.ts)
        else:
            await self._wait_until(event.ts)
            if self._stop.is_set():
                return
        first, last = self._span or (event.ts, event.ts)
        self._span = (min(first, event.ts), max(last, event.ts))
        await channel.receive(event)
        self.played += 1

    async def _wait_until(self, ts: int) -> None:
        delay = self._clock.real_seconds(ts - self._clock.now())
        if delay <= 0:
            return
        try:
            async with asyncio.timeout(delay):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _play_out(self) -> None:
        """Let what still waits be answered or grow too old."""
        patience = int(self._hands.settings.director.max_age * 1000) + 1
        end = self._clock.now() + patience
        if isinstance(self._clock, SimulatedClock):
            for channel in self._channels.values():
                await channel.advance(end)
        elif any(channel.director.wake_at() for channel in self._channels.values()):
            await self._wait_until(end)

    async def _open(self, name: str) -> Channel:
        assert self._turns is not None, "a channel is opened after the start"
        channel = Channel(
            name,
            self._hands.settings,
            self._turns,
            self._note,
            clock=self._clock,
            origin="rehearsal",
            run_prefix=f"rehearsal_{self.options.seed}_{name}_",
        )
        try:
            await self._hands.channels.add(channel)
        except ValueError as error:
            raise RecordingError(str(error)) from None
        self._channels[name] = channel
        sessions = self._hands.sessions
        persona = self._hands.settings.persona.default
        await sessions.get_or_create(channel.session, "chat", persona, channel=name)
        await sessions.clear(channel.session)
        return channel

    async def _close(self) -> None:
        self._discard()
        if self._turns is not None and self._stop.is_set():
            await self._turns.close()
        for channel in self._channels.values():
            await self._hands.channels.remove(channel)
        if self._turns is not None:
            await self._turns.close()
        await self._hands.settled()

    def _discard(self) -> None:
        if self.spool is not None:
            self.spool.unlink(missing_ok=True)

    async def _note(self, event: Event) -> None:
        """Hand an event to the bus and keep what the report tells of it."""
        await self._hands.publish(event)
        if isinstance(event, Decision):
            self._reasons[event.action, event.reason] += 1
            self._fates.append(
                {"id": event.message_id, "action": event.action, "reason": event.reason}
            )
        elif isinstance(event, Emotion):
            self._emotions.setdefault(event.turn, []).append(event.name)
        elif isinstance(event, Reply):
            self._replies.append(
                {
                    "in_reply_to": event.in_reply_to,
                    "user": event.user,
                    "text": event.text,
                    "status": event.status,
                    "emotions": self._emotions.pop(event.turn, []),
                }
            )
        elif isinstance(event, ChatMessage | StreamEvent | Moderation):
            self._kinds[type(event).__name__] += 1

    def _note_bad(self, line: BadLine) -> None:
        self._bad_count += 1
        if len(self._bad_lines) < REPORTED_BAD_LINES:
            self._bad_lines.append({"line": line.number, "reason": line.reason})


class Rehearsals:
    """The rehearsals of this process: started, found, stopped."""

    def __init__(self, stagehands: Stagehands, spool_folder: Path) -> None:
        self._hands = stagehands
        self._spool_folder = spool_folder
        self._rehearsals: OrderedDict[str, Rehearsal] = OrderedDict()

    def create(self, options: RehearsalOptions, *, upload: bool = False) -> Rehearsal:
        """A rehearsal that waits for its recording; with `upload`, it takes one piece by piece.

        Raises `RehearsalBusy` when its channel is being played.
        """
        self._refuse_if_played(options.channel)
        rehearsal = Rehearsal(options, self._hands)
        if upload:
            self._spool_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        if rehearsal.spool is None or rehearsal.state != "uploading":
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
        self._refuse_if_played(rehearsal.options.channel)
        rehearsal.total = count_hint(path)
        rehearsal.state = "running"
        rehearsal.task = asyncio.create_task(rehearsal.play(path), name=rehearsal.id)

    def _refuse_if_played(self, channel: str) -> None:
        # One that was just started has not opened its channel yet.
        playing = {r.options.channel for r in self._rehearsals.values() if r.state == "running"}
        if channel and channel in playing.union(self._hands.channels.names()):
            raise RehearsalBusy(f"channel {channel} is being played already: stop it first")


def sample_path() -> Path:
    """The bundled sample stream."""
    return Path(str(files("understudy.sources").joinpath("sample_stream.jsonl")))
