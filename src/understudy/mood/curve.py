"""The mood of recorded chats over their whole length.

Owns the walk through a recording: the same events give the same readings, whenever and however fast
they are played. Does not own the meter.
"""

from collections.abc import Iterable, Iterator

import msgspec

from understudy.events import ChatMessage, Event, Moderation, MoodLabel, MoodReading
from understudy.mood.channel_words import ChannelWords
from understudy.mood.lexicon import Lexicon
from understudy.mood.meter import Meter, MeterSettings

MAX_POINTS = 1_800
"""Points of one curve; a longer one is told in coarser steps."""
MAX_CURVES = 100
"""Channels of one recording whose curves are kept: the first ones."""


class MoodPoint(msgspec.Struct, frozen=True):
    """The mood at the end of a step that begins `at` seconds into the recording."""

    at: int
    value: float
    intensity: float
    label: MoodLabel


class MoodCurve(msgspec.Struct, frozen=True):
    """How a mood went, in steps of `step` seconds; one that brought nothing new has no point."""

    step: int
    points: list[MoodPoint]


class CurveRecorder:
    """Keeps the newest reading of each step; at `MAX_POINTS` the steps become twice as long."""

    def __init__(self, origin: int) -> None:
        """The curve begins at `origin` (ms)."""
        self._origin = origin
        self._step = 1
        self._newest: dict[int, MoodReading] = {}

    def add(self, reading: MoodReading) -> None:
        """Take in the next reading."""
        self._newest[self._number(reading)] = reading
        while len(self._newest) > MAX_POINTS:
            self._step *= 2
            self._newest = {self._number(known): known for known in self._newest.values()}

    def curve(self) -> MoodCurve:
        """The curve so far."""
        points = [
            MoodPoint(number * self._step, reading.value, reading.intensity, reading.label)
            for number, reading in sorted(self._newest.items())
        ]
        return MoodCurve(self._step, points)

    def _number(self, reading: MoodReading) -> int:
        """Which step the reading falls into; one from before the beginning counts as the first."""
        return max(0, reading.ts - self._origin) // (self._step * 1_000)


class MoodCurves:
    """Follows the channels of a recording, whose events come in order of time.

    `words` and `settings` are those of the live chat.
    """

    def __init__(self, words: ChannelWords, settings: MeterSettings | None = None) -> None:
        self._words = words
        self._settings = settings
        self._origin: int | None = None
        self._channels: dict[str, tuple[_Reader, CurveRecorder]] = {}

    def note(self, event: ChatMessage | Moderation) -> None:
        """Take in the next event of any channel."""
        if self._origin is None:
            self._origin = event.ts
        known = self._channels.get(event.channel)
        if known is None:
            if len(self._channels) >= MAX_CURVES:
                return
            lexicon = self._words.lexicon(event.channel)
            reader = _Reader(Meter(event.channel, self._settings), lexicon)
            known = self._channels[event.channel] = (reader, CurveRecorder(self._origin))
        reader, recorder = known
        for reading in reader.read(event):
            recorder.add(reading)

    def curves(self) -> dict[str, MoodCurve]:
        """The curve of each channel so far, all from the time of the first event on."""
        return {name: recorder.curve() for name, (_, recorder) in self._channels.items()}


class _Reader:
    """Drives the meter of one channel."""

    def __init__(self, meter: Meter, lexicon: Lexicon) -> None:
        self._meter = meter
        self._lexicon = lexicon

    def read(self, event: ChatMessage | Moderation) -> Iterator[MoodReading]:
        """The readings that fell due until `event`, and the one it gives."""
        yield from self._meter.advance(event.ts)
        if isinstance(event, ChatMessage):
            self._meter.add(event, self._lexicon.score(event.text), event.ts)
        else:
            self._meter.take_back(event, event.ts)
        if (reading := self._meter.take(event.ts)) is not None:
            yield reading


def mood_curve(
    events: Iterable[Event], lexicon: Lexicon, settings: MeterSettings | None = None
) -> Iterator[MoodReading]:
    """The readings of one channel's recording, whose events come in order of time."""
    reader: _Reader | None = None
    for event in events:
        if not isinstance(event, ChatMessage | Moderation):
            continue
        if reader is None:
            reader = _Reader(Meter(event.channel, settings), lexicon)
        yield from reader.read(event)
