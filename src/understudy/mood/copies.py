"""Finds chat lines that are copies, or near-copies, of recent ones.

Owns the memory of recent long lines. Does not own what a copy counts (`meter`).

Short lines are never copies: a hundred people who write one emote each mean it. A long line is
known by the smallest hashes of its runs of three words (a bottom-k sketch, A. Broder, 1997), so
that a word changed here or there does not make it new.
"""

import zlib
from collections import OrderedDict

MIN_WORDS = 5
MIN_CHARS = 30
_RUN = 3
_KEYS = 3
_MAX_WORDS = 60
_MAX_KEYS = 3_000


class Copies:
    """Counts how often a line was seen lately; counts fade by half in `half_life` ms."""

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._seen: OrderedDict[int, tuple[int, float]] = OrderedDict()

    def count(self, text: str, now: int) -> float:
        """How many (faded) copies of `text` came before it; it is remembered from now on."""
        keys = _sketch(text)
        before = 0.0
        for key in keys:
            at, count = self._seen.get(key, (now, 0.0))
            faded = count * 0.5 ** (max(0, now - at) / self._half_life)
            before = max(before, faded)
            self._seen[key] = (now, faded + 1.0)
            self._seen.move_to_end(key)
        while len(self._seen) > _MAX_KEYS:
            self._seen.popitem(last=False)
        return before


def _sketch(text: str) -> list[int]:
    """The smallest hashes of the line's runs of words; empty for a short line."""
    if len(text) < MIN_CHARS:
        return []
    words = [
        word if word.isalnum() else "".join(filter(str.isalnum, word))
        for word in text.lower().split()[:_MAX_WORDS]
    ]
    words = [word for word in words if word]
    # One emote written twenty times is no text.
    if len(set(words)) < MIN_WORDS:
        return []
    runs = {" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}
    return sorted(zlib.crc32(run.encode("utf-8", "replace")) for run in runs)[:_KEYS]
