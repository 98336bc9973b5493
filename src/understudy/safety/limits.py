"""Rate limits: token buckets in memory.

Owns the arithmetic and the bound on memory. Does not own what is limited nor what the limited
party is told.

A bucket is kept as one number, the time at which it will be full again: as exact as counting
tokens, and a refill costs nothing (the generic cell rate algorithm, ITU-T I.371).
"""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""A clock in seconds that never goes back."""


class TokenBucket:
    """Lets `rate` acts per second through on average, and `capacity` of them at once."""

    __slots__ = ("_clock", "_full_at", "_interval", "_window")

    def __init__(self, rate: float, capacity: float, clock: Clock = time.monotonic) -> None:
        if rate <= 0 or capacity < 1:
            raise ValueError("a bucket needs a rate above 0 and room for at least one token")
        self._interval = 1.0 / rate
        self._window = capacity * self._interval
        self._clock = clock
        self._full_at = clock()

    def take(self, tokens: float = 1.0) -> float:
        """Take `tokens` and return 0.0, or take none and return the seconds to wait for them.

        Asking for more than the bucket holds is never granted: the wait is infinite.
        """
        now = self._clock()
        full_at = max(now, self._full_at) + tokens * self._interval
        wait = full_at - now - self._window
        if wait <= _ROUNDING:
            self._full_at = full_at
            return 0.0
        return wait if tokens * self._interval <= self._window + _ROUNDING else float("inf")


class RateLimiter:
    """One bucket per key: `rate_per_minute` on average, `burst` times ten seconds' worth at once.

    At most `max_keys` buckets are kept. The one unused for the longest is dropped first; it is
    the fullest, so little is forgiven by forgetting it.
    """

    def __init__(
        self,
        rate_per_minute: float,
        burst: float = 2.0,
        *,
        max_keys: int = 100_000,
        clock: Clock = time.monotonic,
    ) -> None:
        if rate_per_minute <= 0 or burst <= 0 or max_keys < 1:
            raise ValueError("a rate limit, its burst and its number of keys must be above 0")
        self._interval = 60.0 / rate_per_minute
        # Fewer than one token would never let anything through.
        self._window = max(burst * 10.0, self._interval)
        self._max_keys = max_keys
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    @property
    def capacity(self) -> float:
        """How many acts a full bucket allows at once."""
        return self._window / self._interval

    def take(self, key: str) -> float:
        """Count one act of `key` and return 0.0, or count none and return the seconds to wait."""
        now = self._clock()
        # Taken out and put back, a key moves to the end: the dict is the order of last use.
        known = self._full_at.pop(key, now)
        full_at = (known if known > now else now) + self._interval
        wait = full_at - now - self._window
        if wait > _ROUNDING:
            self._full_at[key] = known
            return wait
        self._full_at[key] = full_at
        if len(self._full_at) > self._max_keys:
            del self._full_at[next(iter(self._full_at))]
        return 0.0


_ROUNDING = 1e-6
"""Seconds by which float arithmetic may be off; waits that short are not worth telling."""
