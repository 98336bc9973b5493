"""Measures of what was said: length, variety, copies, language, markup.

Owns the measures. Does not own what they must be (`behaviour`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_MARKUP = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|^(?:user|assistant|system)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_COMMON = {
    "en": "the and is you to of that it for what are this my with not was have do your i'm it's",
    "de": "der die das und ist nicht ich du wir ein eine mit auf zu den es für auch wie was",
    "es": "el la los las que es no un una con por para pero como muy está yo tú del se",
    "fr": "le la les des est et pas je tu nous un une avec pour mais c'est dans que qui ce",
    "pt": "o os as que é não um uma com para mas como muito está eu você do da em se",
}
_SURE = 3
"""How many more common words of one language than of any other make its guess sure …"""
_SURE_SHARE = 0.25
"""… if they are also this share of all words."""


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.casefold())


def mean_length(texts: Sequence[str]) -> float:
    """The mean number of words; 0 without texts."""
    return sum(len(words(text)) for text in texts) / len(texts) if texts else 0.0


def variety(texts: Iterable[str]) -> float:
    """Different pairs of neighbouring words among all pairs (distinct-2, Li et al. 2016).

    It falls as texts get more, so compare it over equally many only. 0 without a pair.
    """
    pairs = Counter(pair for text in texts for pair in _pairs(words(text)))
    count = sum(pairs.values())
    return len(pairs) / count if count else 0.0


def holds_markup(text: str) -> bool:
    """Whether a text holds what should have ended it: a model's own marks, or the next turn."""
    return _MARKUP.search(text) is not None


def language_of(text: str) -> str:
    """`en`, `de`, `es`, `fr` or `pt` where the common words leave little doubt, else empty."""
    said = words(text)
    found = Counter(said)
    votes = sorted(
        ((sum(found[word] for word in common.split()), name) for name, common in _COMMON.items()),
        reverse=True,
    )
    (most, name), (next_most, _) = votes[0], votes[1]
    return name if most >= max(next_most + _SURE, _SURE_SHARE * len(said)) else ""


class Copies:
    """Finds long runs of words in a text that stand in the replies it was trained on."""

    def __init__(self, replies: Iterable[str], length: int, common: int) -> None:
        """Runs of `length` words count, unless `common` replies or more have them."""
        self._length = length
        found: Counter[int] = Counter()
        for reply in replies:
            found.update(set(self._runs(words(reply))))
        # Hashes, not texts: a run of twelve words takes a hundred times the memory.
        self._known = {run for run, count in found.items() if count < common}

    def longest(self, text: str, given: str = "") -> int:
        """Words of the longest copied run of `text`, 0 if shorter than the limit.

        Runs that stand in `given`, what the model was told, are no copies.
        """
        said = words(text)
        told = set(self._runs(words(given)))
        longest = current = 0
        for run in self._runs(said):
            current = current + 1 if run in self._known and run not in told else 0
            longest = max(longest, current)
        return longest + self._length - 1 if longest else 0

    def _runs(self, said: Sequence[str]) -> list[int]:
        last = len(said) - self._length
        return [hash(tuple(said[at : at + self._length])) for at in range(last + 1)]


def _pairs(said: Sequence[str]) -> Iterable[tuple[str, str]]:
    return pairwise(said)
