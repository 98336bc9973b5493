"""Which words of a viewer the scripted brain may say again, and how a viewer is addressed.

Owns the rule that keeps words from being put into the co-host's mouth: at most one harmless word
of a message comes back. Does not own the words themselves (`lines/words.yaml`).
"""

import re
import unicodedata
from collections.abc import Iterator

import msgspec

MAX_WORD = 20
"""Longest word, in letters, that is ever said again."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_MASH = re.compile(r"[^aeiouy]{5}|^[^aeiouy]+$|(.)\1\1")
"""What no word looks like: five consonants in a row, no vowel, a letter three times."""
_OPTIONS = re.compile(r"\b([a-z]+)\s+or\s+(?:an?\s+|the\s+|some\s+|more\s+)?([a-z]+)\b", re.I)
_NAME = re.compile(r"(?!(?:user|guest|anon|anonymous|viewer|you|me|test|web)\d*$)\w{2,25}", re.I)
"""A name that can be said; placeholders are no names."""
_RUNS = re.compile(r"(.)\1+")
_NEAR = 14
"""Characters before a word in which one of the introducing words makes it a likely topic."""
_INTRODUCES = re.compile(
    r"\b(?:the|my|your|our|about|love|like|hate|play|playing|of|a|an|this|these|some|new)\s+$"
)


class Words(msgspec.Struct, frozen=True):
    """Word lists: `blocked` are never said, `blocked_roots` not even inside a word, `common` are
    too plain to be what a message is about."""

    blocked: frozenset[str]
    blocked_roots: tuple[str, ...]
    common: frozenset[str]

    def harmless(self, word: str) -> bool:
        """Whether `word` may be said: 2 to 20 plain letters and nothing offensive in them."""
        if not (2 <= len(word) <= MAX_WORD and word.isascii() and word.isalpha()):
            return False
        return not self._offends(word)

    def topic(self, text: str) -> str:
        """The one harmless word `text` is most likely about, or an empty string."""
        best, best_score = "", 0
        for word, score in self._candidates(text):
            if score > best_score:
                best, best_score = word, score
        return best

    def options(self, text: str) -> tuple[str, str] | None:
        """The two words of an either-or question, if both are harmless."""
        found = [(left.lower(), right.lower()) for left, right in _OPTIONS.findall(text)]
        if not found:
            return None
        left, right = found[-1]
        fine = left != right and self.harmless(left) and self.harmless(right)
        return (left, right) if fine else None

    def address(self, viewer: str) -> str:
        """The name to address `viewer` by: its first word, or nothing when that cannot be said."""
        first = viewer.strip().lstrip("@").split(maxsplit=1)[:1]
        name = first[0] if first else ""
        if not _NAME.fullmatch(name) or self._offends(name):
            return ""
        return name

    def clean(self, text: str) -> bool:
        """Whether no word of `text` is on the block list."""
        return not any(self._offends(word) for word in _WORD.findall(text))

    def _candidates(self, text: str) -> Iterator[tuple[str, int]]:
        lowered = text.lower()
        for match in _WORD.finditer(lowered):
            word = match[0]
            if (
                len(word) < 3
                or word in self.common
                or _hidden(lowered, match)
                or _MASH.search(word)
            ):
                continue
            if self.harmless(word):
                near = lowered[max(0, match.start() - _NEAR) : match.start()]
                introduced = _INTRODUCES.search(near)
                yield word, len(word) + (8 if introduced else 0)

    def _offends(self, word: str) -> bool:
        plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if c.isalnum())
        plain = plain.translate(str.maketrans("013457", "oieast"))
        forms = {plain, plain[::-1], _RUNS.sub(r"\1", plain), _RUNS.sub(r"\1\1", plain)}
        return any(
            form in self.blocked or any(root in form for root in self.blocked_roots)
            for form in forms
        )


def _hidden(text: str, match: re.Match[str]) -> bool:
    """Whether the word is part of a mention, a link, a command or something with digits."""
    before = text[match.start() - 1] if match.start() else " "
    after = text[match.end()] if match.end() < len(text) else " "
    dotted = after == "." and text[match.end() + 1 : match.end() + 2].isalnum()
    return (
        before in "@/.:#!_-\\=&"
        or after in "/_@=\\"
        or (before + after).strip().isalnum()
        or dotted
    )
