"""Sums of mood per second, minute and hour that wait to be stored.

Owns the sums and their bound. Does not own when they are stored (`history`) nor where
(`storage.mood`).
"""

import msgspec

from understudy.events import MoodReading
from understudy.mood.lexicon import label_of
from understudy.storage.mood import MoodRollup

SECOND, MINUTE, HOUR = 1, 60, 3_600
STEPS = (SECOND, MINUTE, HOUR)
"""Lengths of the rows in seconds."""
MAX_WAITING = 50_000
"""Rows that may wait for the disk; of more, the oldest ones of a second are let go."""


class _Sums(msgspec.Struct):
    """What happened in a channel within a second."""

    messages: int = 0
    negative: int = 0
    positive: int = 0
    score: float = 0.0
    readings: int = 0
    value: float = 0.0
    intensity: float = 0.0


class Rollups:
    """Adds up what happened since the last `take`."""

    def __init__(self) -> None:
        # Only seconds are counted as things happen: minutes and hours are made of them later.
        self._seconds: dict[tuple[str, int], _Sums] = {}
        self._waiting: dict[tuple[int, str, int], MoodRollup] = {}
        self.dropped = 0

    def __len__(self) -> int:
        self._fold()
        return len(self._waiting)

    def count(self, channel: str, score: float, ts: int, *, taken_back: bool = False) -> None:
        """Count a message of this `score` at `ts` (ms), or uncount it."""
        one = -1 if taken_back else 1
        label = label_of(score)
        sums = self._second(channel, ts)
        sums.messages += one
        sums.score += one * score
        if label == "negative":
            sums.negative += one
        elif label == "positive":
            sums.positive += one

    def read(self, reading: MoodReading) -> None:
        """Count a reading of the meter."""
        sums = self._second(reading.channel, reading.ts)
        sums.readings += 1
        sums.value += reading.value
        sums.intensity += reading.intensity

    def put(self, row: MoodRollup) -> None:
        """Add a row to what waits under its key."""
        known = self._waiting.get(row.key)
        self._waiting[row.key] = known.plus(row) if known else row
        if len(self._waiting) > MAX_WAITING:
            self._drop()

    def take(self) -> list[MoodRollup]:
        """Everything that waits; nothing waits afterwards."""
        self._fold()
        taken, self._waiting = list(self._waiting.values()), {}
        return taken

    def _second(self, channel: str, ts: int) -> _Sums:
        key = channel, ts // 1000
        sums = self._seconds.get(key)
        if sums is None:
            if len(self._seconds) >= MAX_WAITING:
                self._fold()
            sums = self._seconds[key] = _Sums()
        return sums

    def _fold(self) -> None:
        """Make rows of the seconds."""
        seconds, self._seconds = self._seconds, {}
        for (channel, second), sums in seconds.items():
            fields = msgspec.structs.asdict(sums)
            for step in STEPS:
                ts = (second - second % step) * 1000
                self.put(MoodRollup(step=step, channel=channel, ts=ts, **fields))

    def _drop(self) -> None:
        """Let a tenth go, seconds first: minutes and hours hold the same in fewer rows."""
        order = sorted(self._waiting, key=lambda key: (key[0], key[2]))
        for key in order[: MAX_WAITING // 10]:
            del self._waiting[key]
            self.dropped += 1
