"""How long to wait before a provider is asked again."""

import random

import msgspec

from understudy.brains.base import BrainError


class Backoff(msgspec.Struct, frozen=True):
    """Waits in seconds: exponential with full jitter, so that clients do not come back together.

    Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). What the provider
    asks for is waited for instead, up to `patience`.
    """

    first: float = 0.25
    longest: float = 4.0
    patience: float = 10.0

    def wait(self, attempt: int, error: BrainError) -> float | None:
        """Seconds after attempt number `attempt` (from 0) failed; None when it is too long."""
        jitter = random.uniform(0.0, min(self.longest, self.first * 2**attempt))
        wait = max(jitter, error.retry_after or 0.0)
        return wait if wait <= self.patience else None
