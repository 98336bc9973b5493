"""Which chat messages laugh, or cheer with an emote.

Owns what counts as that. Does not own the lists of words and emotes (`mood`).
"""

import re

from understudy.mood.tokens import TokenReader
from understudy.mood.word_lists import WordLists, built_in_lists

MAX_CHARS = 500
_LAUGHTER = re.compile(
    r"b?[aeiou]?(?:[hj][aeiou]){2,}[hj]?|\u0430?(?:\u0445\u0430){2,}\u0445?|k{3,}|w{4,}|xd+"
    r"|l+o+l+|l+m+a+o+|ro+fl+"
)
_MAX_TOKENS = 20_000


class LaughReader:
    """Recognises laughter in any spelling, and emotes and emoji that mean well."""

    def __init__(self, lists: WordLists | None = None) -> None:
        self._lists = lists or built_in_lists()
        self._tokens = TokenReader(self._lists)
        self._known: dict[str, bool] = {}

    def laughs(self, text: str) -> bool:
        """Whether a message laughs or holds a cheerful emote."""
        return any(self._is_laugh(token) for token in text[:MAX_CHARS].split())

    def _is_laugh(self, token: str) -> bool:
        known = self._known.get(token)
        if known is None:
            if len(self._known) >= _MAX_TOKENS:
                self._known.clear()
            known = self._known[token] = self._read(token)
        return known

    def _read(self, token: str) -> bool:
        word = token.strip(".,!?~*\"'").casefold()
        modifiers = self._lists.modifiers
        if modifiers.get(token) == "laugh" or modifiers.get(word) == "laugh":
            return True
        if _LAUGHTER.fullmatch(word):
            return True
        return self._tokens.is_emote(token) and self._tokens.value(token) > 0
