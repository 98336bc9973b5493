"""Stream time: the wall clock when live, a faster or simulated one in a rehearsal.

Everything in the engine that depends on time asks a `Clock`, so a recorded stream behaves the
same at any speed.
"""

import time

from understudy.events import now_ms


class Clock:
    """The wall clock, in milliseconds since the epoch."""

    def now(self) -> int:
        """The present in stream time."""
        return now_ms()

    def real_seconds(self, stream_ms: int) -> float:
        """How long `stream_ms` of stream time takes here, in seconds; never negative."""
        return max(0, stream_ms) / 1000


class ScaledClock(Clock):
    """Stream time that starts at `origin` and runs `speed` times as fast as real time."""

    def __init__(self, origin: int, speed: float) -> None:
        self._origin = origin
        self._speed = speed
        self._started = time.monotonic()

    def now(self) -> int:
        """The present in stream time."""
        return self._origin + int((time.monotonic() - self._started) * 1000 * self._speed)

    def real_seconds(self, stream_ms: int) -> float:
        """How long `stream_ms` of stream time takes here, in seconds; never negative."""
        return max(0, stream_ms) / 1000 / self._speed


class SimulatedClock(Clock):
    """Stream time that moves only when it is told to, forwards."""

    def __init__(self, origin: int = 0) -> None:
        self._now = origin

    def now(self) -> int:
        """The present in stream time."""
        return self._now

    def set(self, now: int) -> None:
        """Move to `now`; a time in the past leaves the clock where it is."""
        self._now = max(self._now, now)
