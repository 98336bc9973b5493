"""Follows the chat on the bus and publishes the mood of every channel.

Owns the meters, who scores messages, and when readings are published. Does not own how moods are
weighed (`meter`), stored (`history`) or shown.

A channel's clock is that of its events: a recorded chat, whose times are long gone, is read as if
it were live.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from understudy.bus import Bus
from understudy.events import ChatMessage, Event, Moderation, MoodReading, now_ms
from understudy.mood.channel_words import ChannelWords
from understudy.mood.classifier import MoodClassifier
from understudy.mood.errors import MoodError
from understudy.mood.history import MoodHistory
from understudy.mood.meter import Meter, MeterSettings

QUEUE_EVENTS = 8_192
"""Events that may wait; of more, the oldest do not count in the mood."""
MAX_CHANNELS = 10_000
_RECORDED_MS = 60_000
"""Events this far from the clock are of a recording."""
LINGER_SECONDS = 0.05
"""How long messages wait to be read together."""
BATCH_EVENTS = 256
"""Messages read at a time: others must have their turn in between."""
_LOOK_MS = 100
"""Longer than messages wait for each other, or none would ever be read."""

_log = logging.getLogger(__name__)


class _Channel(msgspec.Struct):
    """A meter, and how far its channel's time is behind the clock, in ms."""

    meter: Meter
    behind: int = 0


class MoodMonitor:
    """The mood of all channels of this process. `start` it, `close` it."""

    def __init__(
        self,
        bus: Bus,
        words: ChannelWords,
        settings: MeterSettings | None = None,
        *,
        classifier: MoodClassifier | None = None,
        history: MoodHistory | None = None,
        now: Callable[[], int] = now_ms,
    ) -> None:
        """Without a `classifier` each channel's own lexicon scores; it also stands in for one."""
        self._bus = bus
        self._words = words
        self._settings = settings or MeterSettings()
        self._classifier = classifier
        self._history = history
        self._now = now
        self._channels: OrderedDict[str, _Channel] = OrderedDict()
        self._due: dict[str, int] = {}
        self._subscription = bus.subscribe("mood", ChatMessage, Moderation, capacity=QUEUE_EVENTS)
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def start(self) -> None:
        """Begin to follow the chat."""
        self._task = asyncio.create_task(self._run(), name="mood")

    async def close(self) -> None:
        """Deal with what is queued, then stop. The classifier is its owner's to close."""
        self._bus.unsubscribe(self._subscription)
        if self._task is not None:
            await self._task

    def reading(self, channel: str) -> MoodReading | None:
        """The newest reading of a channel; None when nobody wrote there yet."""
        known = self._channels.get(channel)
        return known.meter.shown if known else None

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._seconds_to_wait()):
                    events = await self._subscription.batch(BATCH_EVENTS, LINGER_SECONDS)
            except TimeoutError:
                await self._look()
                continue
            if not events:
                return
            await self._receive(events)
            await self._look()

    def _seconds_to_wait(self) -> float | None:
        if not self._due:
            return None
        return max(_LOOK_MS, min(self._due.values()) - self._now()) / 1000

    async def _receive(self, events: Sequence[Event]) -> None:
        scores = await self._score([e for e in events if isinstance(e, ChatMessage)])
        for event in events:
            channel = self._channel(event)
            readings = channel.meter.advance(event.ts)
            if isinstance(event, ChatMessage):
                self._count(channel, event, scores.get(event.id, 0.0))
            elif isinstance(event, Moderation):
                self._take_back(channel, event)
            if (reading := channel.meter.take(event.ts)) is not None:
                readings.append(reading)
            await self._publish(readings)
            self._plan(event.channel, channel)

    async def _score(self, messages: Sequence[ChatMessage]) -> dict[str, float]:
        """Scores by message id, of those that count."""
        counting = [m for m in messages if self._channel(m).meter.counts(m)]
        if self._classifier is not None and counting:
            try:
                found = await self._classifier.label([m.text for m in counting])
            except MoodError as error:
                if not self._failing:
                    _log.warning("the word lists stand in for %s: %s", self._classifier.name, error)
                self._failing = True
            else:
                self._failing = False
                return {m.id: s.score for m, s in zip(counting, found, strict=True)}
        return {m.id: self._words.lexicon(m.channel).score(m.text) for m in counting}

    def _count(self, channel: _Channel, message: ChatMessage, score: float) -> None:
        counted = channel.meter.add(message, score, message.ts)
        if counted and self._history is not None:
            self._history.count(message.channel, score, message.ts)

    def _take_back(self, channel: _Channel, act: Moderation) -> None:
        for at, score in channel.meter.take_back(act, act.ts):
            if self._history is not None:
                self._history.uncount(act.channel, score, at)

    async def _look(self) -> None:
        """Publish what fell due while nobody wrote."""
        now = self._now()
        for name in [name for name, due in self._due.items() if due <= now]:
            channel = self._channels[name]
            await self._publish(channel.meter.advance(now - channel.behind))
            self._plan(name, channel)

    async def _publish(self, readings: Sequence[MoodReading]) -> None:
        for reading in readings:
            if self._history is not None:
                self._history.read(reading)
            await self._bus.publish(reading)

    def _plan(self, name: str, channel: _Channel) -> None:
        due = channel.meter.wake_at()
        if due is None:
            self._due.pop(name, None)
        else:
            self._due[name] = due + channel.behind

    def _channel(self, event: Event) -> _Channel:
        channel = self._channels.get(event.channel)
        if channel is None:
            channel = _Channel(Meter(event.channel, self._settings))
            self._channels[event.channel] = channel
        behind = self._now() - event.ts
        channel.behind = behind if abs(behind) > _RECORDED_MS else 0
        self._channels.move_to_end(event.channel)
        if len(self._channels) > MAX_CHANNELS:
            oldest, _ = self._channels.popitem(last=False)
            self._due.pop(oldest, None)
        return channel
