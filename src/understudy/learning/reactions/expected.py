"""What a room would have done anyway: a linear expectation that learns as moments come in.

Owns the fit: ridge regression by sufficient statistics, so that memory does not grow, with old
moments fading, and a channel's coefficients shrunk towards those of all channels. Does not own what
the numbers mean (`room`, `rewards`). The systems are 7 by 7: no library is needed for them.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

FADES = 0.998
"""What is left of a moment's weight after each later one: half after 350."""
TO_ALL_CHANNELS = 4.0
"""How strongly a channel is drawn to all channels, in moments."""
TO_ZERO = 1.0
SPREAD_WEIGHS = 8.0
"""How many moments the assumed spread is worth beside the measured one."""

Vector = list[float]


class Guess(msgspec.Struct, frozen=True):
    """The expected value of a signal and its standard deviation."""

    mean: float
    spread: float


class Fit:
    """Regresses several signals on the same features."""

    def __init__(self, features: int, spreads: Mapping[str, float]) -> None:
        """`spreads` are the assumed standard deviations by signal."""
        self._features = features
        self._spreads = spreads
        self._products = [[0.0] * features for _ in range(features)]
        self._weighted = {signal: [0.0] * features for signal in spreads}
        self._squares = dict.fromkeys(spreads, 0.0)
        self.weight = 0.0
        """How many moments it rests on, faded ones in part."""

    def add(self, x: Sequence[float], y: Mapping[str, float], weight: float = 1.0) -> None:
        """Learn that signals `y` were seen after features `x`."""
        size = range(self._features)
        self.weight = FADES * self.weight + weight
        for row in size:
            for column in size:
                old = FADES * self._products[row][column]
                self._products[row][column] = old + weight * x[row] * x[column]
        for signal, sums in self._weighted.items():
            value = y[signal]
            for row in size:
                sums[row] = FADES * sums[row] + weight * x[row] * value
            self._squares[signal] = FADES * self._squares[signal] + weight * value * value

    def coefficients(self, signal: str, prior: Sequence[float], strength: float) -> Vector:
        """The coefficients of a signal, drawn to `prior` as by `strength` moments."""
        size = range(self._features)
        matrix = [list(row) for row in self._products]
        goal = list(self._weighted[signal])
        for row in size:
            goal[row] -= sum(self._products[row][column] * prior[column] for column in size)
            matrix[row][row] += strength
        change = solve(matrix, goal)
        return [prior[row] + change[row] for row in size]

    def spread(self, signal: str, coefficients: Sequence[float]) -> float:
        """The standard deviation of what is left of a signal after the expectation."""
        size = range(self._features)
        sums = self._weighted[signal]
        explained = 2 * sum(coefficients[row] * sums[row] for row in size)
        squares = sum(
            coefficients[row] * self._products[row][column] * coefficients[column]
            for row in size
            for column in size
        )
        left = max(0.0, self._squares[signal] - explained + squares)
        assumed = SPREAD_WEIGHS * self._spreads[signal] ** 2
        return math.sqrt((left + assumed) / (self.weight + SPREAD_WEIGHS))


class Expectation:
    """What to expect of each channel; the fits of those unused for longest are forgotten."""

    def __init__(self, features: int, spreads: Mapping[str, float], channels: int = 1_000) -> None:
        self._features = features
        self._spreads = dict(spreads)
        self._most = channels
        self._all = Fit(features, self._spreads)
        self._fits: dict[str, Fit] = {}

    def weight(self, channel: str) -> float:
        """How many moments the expectation rests on: the channel's own, or everybody's."""
        return max(self._fit(channel).weight, self._all.weight / 4)

    def learn(
        self, channel: str, x: Sequence[float], y: Mapping[str, float], weight: float = 1.0
    ) -> None:
        """A moment at which nobody was answered: signals `y` after features `x`."""
        self._fit(channel).add(x, y, weight)
        self._all.add(x, y, weight)

    def guess(self, channel: str, x: Sequence[float]) -> dict[str, Guess]:
        """What the room would do after features `x` without a reply, by signal."""
        fit = self._fit(channel)
        nothing = [0.0] * self._features
        guesses: dict[str, Guess] = {}
        for signal in self._spreads:
            common = self._all.coefficients(signal, nothing, TO_ZERO)
            own = fit.coefficients(signal, common, TO_ALL_CHANNELS)
            mean = sum(value * weight for value, weight in zip(x, own, strict=True))
            guesses[signal] = Guess(mean, fit.spread(signal, own))
        return guesses

    def _fit(self, channel: str) -> Fit:
        fit = self._fits.pop(channel, None) or Fit(self._features, self._spreads)
        self._fits[channel] = fit
        if len(self._fits) > self._most:
            del self._fits[next(iter(self._fits))]
        return fit


def solve(matrix: list[Vector], goal: Vector) -> Vector:
    """The solution of a symmetric, positive definite system, by Cholesky's decomposition."""
    size = len(goal)
    lower = [[0.0] * size for _ in range(size)]
    for row in range(size):
        for column in range(row + 1):
            rest = matrix[row][column] - sum(
                lower[row][k] * lower[column][k] for k in range(column)
            )
            if row == column:
                lower[row][row] = math.sqrt(max(rest, 1e-12))
            else:
                lower[row][column] = rest / lower[column][column]
    forward: Vector = []
    for row in range(size):
        known = sum(lower[row][k] * forward[k] for k in range(row))
        forward.append((goal[row] - known) / lower[row][row])
    solution = [0.0] * size
    for row in reversed(range(size)):
        known = sum(lower[k][row] * solution[k] for k in range(row + 1, size))
        solution[row] = (forward[row] - known) / lower[row][row]
    return solution
