"""How long to wait before the next attempt."""

import random

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Doubling waits with jitter; times in seconds.

    `attempts` counts in a row and without progress: it starts over with every token.
    """

    attempts: int = 4
    first: float = 0.25
    longest: float = 8.0

    def delay(self, failures: int, asked: float = 0.0) -> float:
        """The wait after `failures` in a row, at least what the server `asked` for."""
        longest = min(self.longest, self.first * 2 ** min(failures - 1, 30))
        return max(asked, random.uniform(longest / 2, longest))
