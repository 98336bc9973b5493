"""The live feed: every event of the streams, numbered, for dashboards and overlays.

Owns one bounded log of encoded events. A viewer is a position in it, so the cost of an event does
not depend on how many watch, each event is encoded once, and a viewer that stops reading holds up
nobody. Does not own sockets nor who shares a frame (`server.audience`).
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from understudy.bus import Bus, EventLog
from understudy.events import ChatMessage, Event, MoodReading, encode

logger = logging.getLogger(__name__)

FEED_EVENTS = 16_384
"""Events kept for viewers that are behind or come back."""
FEED_BYTES = 16 * 2**20
"""Most bytes of events kept, however few they are."""
SNAPSHOT_EVENTS = 200
FRAME_EVENTS = 512
"""Most events in one frame."""
FRAME_BYTES = 256 * 2**10
"""Bytes after which a frame takes no further event."""
LAST_FRAMES_SECONDS = 1.0
"""How long a close waits for viewers to take the last events."""

_SEQ = re.compile("[0-9]{1,18}")


class LiveEvent(msgspec.Struct, frozen=True):
    """An event as the feed keeps it: what a viewer filters by, and its JSON.

    `is_private` marks what dashboards see and the stream does not.
    """

    channel: str
    kind: type[Event]
    data: bytes
    is_private: bool = False


@dataclass(frozen=True)
class Interest:
    """What a viewer wants to see; empty `kinds` and `channel` stand for all.

    Without `with_private` it gets only what the stream may see.
    """

    kinds: tuple[type[Event], ...] = ()
    channel: str = ""
    with_private: bool = True

    def __contains__(self, entry: LiveEvent) -> bool:
        return (
            (not self.kinds or issubclass(entry.kind, self.kinds))
            and (not self.channel or entry.channel == self.channel)
            and (self.with_private or not entry.is_private)
        )


_ALL = Interest()


class LiveFeed:
    """Reads the bus and numbers what it reads."""

    def __init__(self, bus: Bus) -> None:
        self.id = secrets.token_hex(4)
        self.log: EventLog[LiveEvent] = EventLog(
            FEED_EVENTS, weigh=lambda entry: len(entry.data), max_weight=FEED_BYTES
        )
        self.moods: dict[str, tuple[int, LiveEvent]] = {}
        """The newest mood of each channel: who begins to watch must not wait for the next."""
        self._bus = bus
        self._subscription = bus.subscribe("live feed", capacity=FEED_EVENTS, lossless=True)
        self._task: asyncio.Task[None] | None = None
        self._viewers = 0
        self._unwatched = asyncio.Event()
        self._unwatched.set()

    def start(self) -> None:
        """Begin reading."""
        self._task = asyncio.create_task(self._run(), name="live feed")

    async def close(self) -> None:
        """Stop reading and let every viewer end; those that read are waited for."""
        self._bus.unsubscribe(self._subscription)
        if self._task:
            await self._task
        self.log.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_FRAMES_SECONDS):
                await self._unwatched.wait()

    @contextmanager
    def watching(self) -> Generator[None]:
        """Count the caller as a viewer, who is sent the last events before the feed is closed."""
        self._viewers += 1
        self._unwatched.clear()
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._unwatched.set()

    def position(self, since: str) -> int | None:
        """The sequence number in an id `<feed>:<seq>` of this feed that it can still go on from."""
        feed, _, number = since.rpartition(":")
        if feed != self.id or not _SEQ.fullmatch(number):
            return None
        seq = int(number)
        return seq if self.log.first_seq - 1 <= seq <= self.log.last_seq else None

    async def _run(self) -> None:
        while events := await self._subscription.batch():
            for event in events:
                try:
                    data = encode(event)
                except UnicodeEncodeError:
                    # One text that is no text must not blind every viewer from here on.
                    logger.error("%s %s is not text: left out", type(event).__name__, event.id)
                    continue
                is_private = isinstance(event, ChatMessage) and event.blocked
                entry = LiveEvent(event.channel, type(event), data, is_private)
                seq = self.log.append(entry)
                if isinstance(event, MoodReading):
                    self.moods[event.channel] = (seq, entry)


class LiveView:
    """One viewer: turns the feed into the frames it is sent, at its own pace."""

    def __init__(
        self, feed: LiveFeed, state: Callable[[], dict[str, object]], interest: Interest = _ALL
    ) -> None:
        """`state` goes into the snapshot."""
        self.interest = interest
        self._feed = feed
        self._state = state
        self._seq = self._before = feed.log.last_seq

    def open(self, since: str = "") -> bytes:
        """The first frame: what was missed since `since`, or else a snapshot."""
        position = self._feed.position(since) if since else None
        if position is not None:
            self._seq = position
            return self.next_frame() or self._frame([])
        recent = self._feed.log.after(max(0, self._feed.log.last_seq - SNAPSHOT_EVENTS))
        first = recent[0][0] if recent else 0
        recent = [mood for mood in self._feed.moods.values() if mood[0] < first] + recent
        self._seq = self._feed.log.last_seq
        state = msgspec.json.encode(self._state())
        events = b",".join(entry.data for _, entry in recent if entry in self.interest)
        return b'{"type":"snapshot","id":"%b","state":%b,"events":[%b]}' % (
            self._id(),
            state,
            events,
        )

    async def frame(self, within: float) -> bytes | None:
        """The next frame; None when `within` seconds passed without one or the feed closed.

        Events the viewer did not ask for do not prolong the wait.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while (frame := self.next_frame()) is None:
            if not await self._feed.log.changed(max(0.0, deadline - loop.time())):
                return None
        return frame

    def next_frame(self) -> bytes | None:
        """The next frame if there is one; None when the viewer has seen all there is."""
        self._before = self._seq
        missed = self._feed.log.first_seq - self._seq - 1
        if missed > 0:
            self._seq += missed
            return b'{"type":"gap","missed":%d}' % missed
        while batch := self._feed.log.after(self._seq, FRAME_EVENTS):
            wanted: list[bytes] = []
            size = 0
            for seq, entry in batch:
                self._seq = seq
                if entry in self.interest:
                    wanted.append(entry.data)
                    size += len(entry.data)
                    if size > FRAME_BYTES:
                        break
            if wanted:
                return self._frame(wanted)
        return None

    @property
    def position(self) -> int:
        """The number of the last event it has seen or passed over."""
        return self._seq

    @property
    def before_frame(self) -> int:
        """Its position before the frame it was given last."""
        return self._before

    def back_to(self, position: int) -> None:
        """Go on after `position` once more."""
        self._seq = position

    @property
    def ended(self) -> bool:
        """Whether the feed has closed and everything was sent."""
        return self._feed.log.closed and self._seq >= self._feed.log.last_seq

    def _frame(self, events: list[bytes]) -> bytes:
        return b'{"type":"events","id":"%b","events":[%b]}' % (self._id(), b",".join(events))

    def _id(self) -> bytes:
        return b"%b:%d" % (self._feed.id.encode(), self._seq)
