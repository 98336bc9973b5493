"""The most frequent of very many things, in bounded memory, of all time or of late.

Owns counting. Does not own what is counted (`statistics`).

This is the summary of Misra and Gries ("Finding repeated elements", 1982), shortened in batches so
that a count costs the same however many things there are. Counts are exact until there are more
things than room; from then on each may be too low by at most `FrequentItems.error`.
"""

from collections import Counter, deque
from collections.abc import Iterable
from heapq import nlargest


class FrequentItems:
    """Counts things and keeps those that come most often; `room` to twice `room` of them."""

    def __init__(self, room: int) -> None:
        self.error = 0
        self._room = room
        self._counts: Counter[str] = Counter()

    def add(self, items: Iterable[str]) -> None:
        """Count each of `items` once more."""
        self._counts.update(items)
        if len(self._counts) > 2 * self._room:
            self._shorten()

    def counts(self) -> Counter[str]:
        """The things that are kept, with their counts."""
        return self._counts

    def _shorten(self) -> None:
        least = nlargest(self._room + 1, self._counts.values())[-1]
        self.error += least
        self._counts = Counter(
            {item: count - least for item, count in self._counts.items() if count > least}
        )


class RecentItems:
    """Counts things over the last `slices` slices of `slice_ms`, the present one included."""

    def __init__(self, room: int, slice_ms: int, slices: int) -> None:
        self._room = room
        self._slice_ms = slice_ms
        self._slices = slices
        self._recent: deque[tuple[int, FrequentItems]] = deque()

    def add(self, items: Iterable[str], now: int) -> None:
        """Count each of `items` once more at `now`, which never goes back."""
        self._forget(now)
        current = now // self._slice_ms
        if not self._recent or self._recent[-1][0] < current:
            self._recent.append((current, FrequentItems(self._room)))
        self._recent[-1][1].add(items)

    def counts(self, now: int) -> Counter[str]:
        """The things kept of the last slices, with their counts."""
        self._forget(now)
        total: Counter[str] = Counter()
        for _, items in self._recent:
            total.update(items.counts())
        return total

    def _forget(self, now: int) -> None:
        oldest = now // self._slice_ms - self._slices
        while self._recent and self._recent[0][0] <= oldest:
            self._recent.popleft()
