"""How often something happened of late, counted in slices of time.

Owns counting by time. Does not own the clock: it is told the time, which never goes back.
"""

from array import array

_MINUTE_MS = 60_000


class WindowCount:
    """Counts over the last `span_ms`, exact to `step_ms`, and in all."""

    def __init__(self, step_ms: int, span_ms: int) -> None:
        self.total = 0
        self._step_ms = step_ms
        self._slices = array("L", [0]) * (span_ms // step_ms)
        self._newest = 0

    def add(self, now: int) -> None:
        """Count one more at `now` (ms)."""
        self._slices[self._reach(now)] += 1
        self.total += 1

    def last(self, now: int, span_ms: int | None = None) -> int:
        """How many there were in the last `span_ms` before `now`, by default the whole span."""
        place = self._reach(now)
        size = len(self._slices)
        wanted = size if span_ms is None else span_ms // self._step_ms
        return sum(self._slices[(place - back) % size] for back in range(wanted))

    def clear(self) -> None:
        """Forget when things happened, but not how many."""
        self._slices = array("L", [0]) * len(self._slices)
        self._newest = 0

    def _reach(self, now: int) -> int:
        """Move on to `now`, emptying the slices that are used again; the place of its slice."""
        step, size = now // self._step_ms, len(self._slices)
        if step > self._newest:
            for passed in range(max(self._newest + 1, step - size + 1), step + 1):
                self._slices[passed % size] = 0
            self._newest = step
        return step % size


class MinutePeak:
    """The most that happened in any one minute of the clock."""

    def __init__(self) -> None:
        self.most = 0
        self._minute: int = 0
        self._count: int = 0

    def note(self, now: int) -> None:
        """Count one more at `now` (ms)."""
        minute = now // _MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._count = 0
        self._count += 1
        self.most = max(self.most, self._count)
