"""G5: blind comparisons by people or a judge. Soft: it informs, it does not block.

Owns how a share of wins is bounded. Does not own who compares.
"""

import math

import msgspec

from understudy.learning.gates.limits import Limits
from understudy.learning.gates.verdict import Verdict, skipped, verdict

_Z95 = 1.959964


class Preferences(msgspec.Struct, frozen=True):
    """How often the version, the one it is compared with, or neither was preferred."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def count(self) -> int:
        """All comparisons."""
        return self.wins + self.losses + self.ties


def preferred(preferences: Preferences, limits: Limits) -> Verdict:
    """G5: the lower bound of the share of wins, ties counting half, reaches the limit."""
    count = preferences.count
    if count < limits.preferences:
        return skipped("G5", f"{count} blind comparisons, {limits.preferences} are needed")
    share = (preferences.wins + preferences.ties / 2) / count
    lower, upper = wilson(share, count)
    said = f"it was preferred in {share:.0%} of {count} comparisons (at least {lower:.0%})"
    problems = [] if lower >= limits.preferred else [f"{said}, {limits.preferred:.0%} is asked for"]
    figures = msgspec.to_builtins(preferences)
    return verdict("G5", problems, said, share=share, lower=lower, upper=upper, **figures)


def wilson(share: float, count: int, z: float = _Z95) -> tuple[float, float]:
    """The interval of a share of `count` (Wilson 1927, JASA 22:209); all of it when none."""
    if count <= 0:
        return 0.0, 1.0
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + z * z / (4 * count * count)
    reach = z * math.sqrt(spread) / (1 + z * z / count)
    return max(0.0, middle - reach), min(1.0, middle + reach)
