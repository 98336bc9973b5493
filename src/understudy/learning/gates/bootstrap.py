"""How sure a difference of two losses is: a paired bootstrap over sessions.

Owns the statistics. Does not own where the losses come from.

Whole sessions are drawn again, with what both versions lost on them, because the rows of a session
share their viewers, their game and their mood: drawing rows would make every interval too narrow
(Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 and 13).
"""

import random
from collections.abc import Sequence

import msgspec

DRAWS = 2_000
CONFIDENCE = 0.95
_SEED = 20_261


class PairedLoss(msgspec.Struct, frozen=True):
    """Both versions' loss on one row: summed nats over its `tokens`."""

    session: str
    tokens: int
    new: float
    old: float


class Difference(msgspec.Struct, frozen=True):
    """Nats per token of the new version minus the old one's, with a 95 % interval."""

    new: float
    old: float
    change: float
    lower: float
    upper: float
    rows: int
    tokens: int
    sessions: int

    @property
    def share(self) -> float:
        """The upper bound of the change as a share of the old version's loss."""
        return self.upper / self.old if self.old > 0 else float(self.upper > 0)


def difference(losses: Sequence[PairedLoss], *, draws: int = DRAWS) -> Difference:
    """The difference over all rows; the same rows give the same interval.

    Raises `ValueError` without a token to compare.
    """
    sessions: dict[str, list[float]] = {}
    for loss in losses:
        sums = sessions.setdefault(loss.session, [0.0, 0.0, 0.0])
        sums[0] += loss.tokens
        sums[1] += loss.new
        sums[2] += loss.old
    # In one order, whatever order the rows came in, so that the draws are the same.
    parts = [sessions[name] for name in sorted(sessions)]
    tokens, new, old = (sum(part[i] for part in parts) for i in range(3))
    if tokens <= 0:
        raise ValueError("there is no token to compare losses on")
    changes = sorted(_draws(parts, draws))
    tail = int(draws * (1 - CONFIDENCE) / 2)
    return Difference(
        new=new / tokens,
        old=old / tokens,
        change=(new - old) / tokens,
        lower=changes[tail],
        upper=changes[-1 - tail],
        rows=len(losses),
        tokens=int(tokens),
        sessions=len(parts),
    )


def _draws(parts: Sequence[Sequence[float]], draws: int) -> list[float]:
    """The change of the loss in `draws` sets of as many sessions, drawn with repetition."""
    chance = random.Random(_SEED)
    gains = [(part[0], part[1] - part[2]) for part in parts]
    found: list[float] = []
    for _ in range(draws):
        drawn = chance.choices(gains, k=len(gains))
        tokens = sum(part[0] for part in drawn)
        if tokens > 0:
            found.append(sum(part[1] for part in drawn) / tokens)
        else:
            found.append(0.0)
    return found
