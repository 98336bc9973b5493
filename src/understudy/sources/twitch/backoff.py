"""How long to wait before Twitch is asked again.

Exponential with full jitter, so that clients do not come back together (Brooker, "Exponential
Backoff And Jitter", AWS Architecture Blog, 2015).
"""

import random


def jittered_wait(attempt: int, first: float, longest: float) -> float:
    """Seconds after attempt number `attempt` (from 0) failed, at most `longest`."""
    return random.uniform(0.0, min(longest, first * 2 ** min(attempt, 32)))
