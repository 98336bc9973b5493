"""The mean of judgements with bounds that hold at all times at once.

Owns the statistics. Does not own what is judged (`comparison`).

One may look after every judgement and stop whenever one likes, which an ordinary interval does not
allow: looked at often enough, it shows any difference. This is the empirical-Bernstein confidence
sequence with predictable plug-in of Waudby-Smith & Ramdas, "Estimating means of bounded random
variables by betting", JRSS B 86(1), 2024, theorem 2. It asks nothing of the judgements but bounds,
and their mean may change over time.
"""

import math

LARGEST_BET = 0.5


class MeanOverTime:
    """The mean of values from 0 to 1; with probability 1 - `error` its bounds never miss it."""

    def __init__(self, error: float) -> None:
        self.count = 0
        self.mean = 0.5
        """Of the values so far; 0.5 before the first."""
        self.lower = 0.0
        self.upper = 1.0
        self._stake = math.log(2 / error)
        self._sum = 0.0
        self._guess = 0.5
        self._squares = 0.25
        self._variance = 0.25
        self._bets = 0.0
        self._won = 0.0
        self._paid = 0.0

    def add(self, value: float) -> None:
        """Take in a value; raises `ValueError` for one outside of 0 to 1."""
        if not 0 <= value <= 1:
            raise ValueError(f"a judgement is from 0 to 1, not {value}")
        self.count += 1
        n = self.count
        bet = math.sqrt(2 * self._stake / (self._variance * n * math.log(n + 1)))
        bet = min(bet, LARGEST_BET)
        # What the value is bet against is known before it: that makes the bounds hold.
        surprise = 4 * (value - self._guess) ** 2
        self._bets += bet
        self._won += bet * value
        self._paid += surprise * (-math.log(1 - bet) - bet) / 4
        self._sum += value
        self.mean = self._sum / n
        self._guess = (0.5 + self._sum) / (n + 1)
        self._squares += (value - self._guess) ** 2
        self._variance = self._squares / (n + 1)
        middle, reach = self._won / self._bets, (self._stake + self._paid) / self._bets
        # Bounds that hold at all times hold together.
        self.lower = max(self.lower, middle - reach)
        self.upper = min(self.upper, middle + reach)
