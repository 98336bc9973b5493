"""Sums of mood per second, minute and hour that wait to be stored.

Owns the sums and their bound. Does not own when they are stored (`history`) nor where
(`storage.mood`).
"""

from understudy.events import MoodReading
from understudy.mood.lexicon import label_of
from understudy.storage.mood import MoodRollup

SECOND, MINUTE, HOUR = 1, 60, 3_600
STEPS = (SECOND, MINUTE, HOUR)
"""Lengths of the rows in seconds."""
MAX_WAITING = 50_000
"""Rows that may wait for the disk; of more, the oldest ones of a second are let go."""


class Rollups:
    """Adds up what happened since the last `take`."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, str, int], MoodRollup] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def count(self, channel: str, score: float, ts: int, *, taken_back: bool = False) -> None:
        """Count a message of this `score` at `ts` (ms), or uncount it."""
        one = -1 if taken_back else 1
        label = label_of(score)
        for step in STEPS:
            self.put(
                MoodRollup(
                    step=step,
                    channel=channel,
                    ts=_begin(ts, step),
                    messages=one,
                    negative=one if label == "negative" else 0,
                    positive=one if label == "positive" else 0,
                    score=one * score,
                )
            )

    def read(self, reading: MoodReading) -> None:
        """Count a reading of the meter."""
        for step in STEPS:
            self.put(
                MoodRollup(
                    step=step,
                    channel=reading.channel,
                    ts=_begin(reading.ts, step),
                    readings=1,
                    value=reading.value,
                    intensity=reading.intensity,
                )
            )

    def put(self, row: MoodRollup) -> None:
        """Add a row to what waits under its key."""
        known = self._waiting.get(row.key)
        self._waiting[row.key] = known.plus(row) if known else row
        if len(self._waiting) > MAX_WAITING:
            self._drop()

    def take(self) -> list[MoodRollup]:
        """Everything that waits; nothing waits afterwards."""
        taken, self._waiting = list(self._waiting.values()), {}
        return taken

    def _drop(self) -> None:
        """Let a tenth go, seconds first: minutes and hours hold the same in fewer rows."""
        order = sorted(self._waiting, key=lambda key: (key[0], key[2]))
        for key in order[: MAX_WAITING // 10]:
            del self._waiting[key]
            self.dropped += 1


def _begin(ts: int, step: int) -> int:
    return ts - ts % (step * 1000)
