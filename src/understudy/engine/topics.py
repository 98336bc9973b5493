"""What is being talked about: the words of the co-host and the streamer that are still fresh.

Owns a bounded memory of words. Does not own the words of a message (`crowd`) nor what being about
it is worth (`candidates`).
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

MAX_WORDS = 300
FRESH_MS = 120_000


class Topic:
    """The words spoken lately in one channel."""

    def __init__(self) -> None:
        self._spoken: OrderedDict[str, int] = OrderedDict()

    def hear(self, words: Iterable[str], now: int) -> None:
        """Remember words spoken at `now` (ms)."""
        for word in words:
            self._spoken[word] = now
            self._spoken.move_to_end(word)
        while len(self._spoken) > MAX_WORDS:
            self._spoken.popitem(last=False)

    def relevance(self, words: Sequence[str], now: int) -> float:
        """The share of `words` that was spoken within the last two minutes, 0 to 1."""
        if not words or not self._spoken:
            return 0.0
        fresh = sum(1 for word in words if now - self._spoken.get(word, -FRESH_MS) < FRESH_MS)
        return fresh / len(words)
