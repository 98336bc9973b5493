"""What one token of a chat line is worth: an emote, emoji, a word, a stretched word, laughter.

Owns how tokens are written. Does not own how they act on each other (`lexicon`).
"""

import re

from understudy.mood.word_lists import WordLists

_QUOTES = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb\u300c\u300d"
_EDGES = " .,!?;:\"'`()[]{}*~_-+=|<>&#/\\\u2026\u3001\u3002\uff01\uff1f" + _QUOTES
_STRETCHED = re.compile(r"(.)\1{2,}")
_DOUBLED = re.compile(r"(.)\1+")
_LAUGHTER = re.compile(
    r"b?[aeiou]?(?:[hj][aeiou]){2,}[hj]?|\u0430?(?:\u0445\u0430){2,}\u0445?|k{3,}|w{4,}|xd+"
    r"|l+o+l+|l+m+a+o+|ro+fl+"
)
_TAIL = re.compile(r"[a-z0-9]([A-Z][a-z]+|[A-Z]{2,})$")
_LAUGH_VALUE = 0.7
_CAPITALS = 1.25
_EXCLAIMED = 1.15
_STRETCH = 1.2
_STRETCHED_NO = -0.7
_MOST_GLYPHS = 3


class TokenReader:
    """Reads single tokens with word lists."""

    def __init__(self, lists: WordLists) -> None:
        self._lists = lists
        glyphs = sorted(lists.glyphs, key=len, reverse=True)
        self._glyphs = re.compile("|".join(map(re.escape, glyphs)))
        self._known = {*lists.words, *lists.modifiers, "no"}
        self._known.update(word for phrase in lists.phrases for word in phrase.split())

    def value(self, token: str) -> float:
        """The value of a token, about -1.5 to 1.5; 0 for what says nothing of a feeling."""
        emotes = self._lists.emotes
        if token in emotes:
            return emotes[token]
        if token[0] in "@!" and len(token) > 1 and token[1].isalnum():
            return 0.0
        core = token.strip(_EDGES)
        if core in emotes:
            return emotes[core]
        if "://" in token or core.startswith("www."):
            return 0.0
        if token.isascii():
            return self._word(token, core)
        value, rest = self._take_glyphs(core or token)
        return value + (self._word(token, rest) if rest else 0.0)

    def plain(self, token: str) -> str:
        """The word in lower case as the lists write it, without stretching; for comparing."""
        word = token.strip(_EDGES).lower().replace("\u2019", "'")
        if word in self._lists.words or word in self._lists.modifiers:
            return word
        return self._unstretched(word)

    def is_emote(self, token: str) -> bool:
        """Whether a token is an emote, or emoji, rather than a word."""
        if token in self._lists.emotes or token.strip(_EDGES) in self._lists.emotes:
            return True
        return not token.isascii() and self._glyphs.search(token) is not None

    def _take_glyphs(self, text: str) -> tuple[float, str]:
        """The sum of different emoji and the like in `text`, bounded, and what is left of it."""
        found = dict.fromkeys(self._glyphs.findall(text))
        if not found:
            return 0.0, text
        values = sorted((self._lists.glyphs[glyph] for glyph in found), key=abs, reverse=True)
        return sum(values[:_MOST_GLYPHS]), self._glyphs.sub("", text).strip(_EDGES + "\ufe0f")

    def _word(self, token: str, core: str) -> float:
        word = core.lower().replace("\u2019", "'").removesuffix("'s")
        words = self._lists.words
        if word in words:
            value = words[word]
        elif _LAUGHTER.fullmatch(word):
            value = _LAUGH_VALUE
        else:
            value = self._rare(core, word)
        if not value:
            return 0.0
        if len(core) > 2 and core.isupper():
            value *= _CAPITALS
        return value * _EXCLAIMED if token.endswith("!") else value

    def _rare(self, core: str, word: str) -> float:
        """The value of a stretched word or of a channel's own emote."""
        plain = self._unstretched(word)
        if plain != word:
            if plain == "no":
                return _STRETCHED_NO
            return self._lists.words.get(plain, 0.0) * _STRETCH
        tail = _TAIL.search(core)
        return self._lists.tails.get(tail[1], 0.0) if tail else 0.0

    def _unstretched(self, word: str) -> str:
        """`word` with stretched letters as the lists write it, or at most two of each."""
        if not _STRETCHED.search(word):
            return word
        twice = _STRETCHED.sub(r"\1\1", word)
        for form in (twice, _STRETCHED.sub(r"\1", word), _DOUBLED.sub(r"\1", twice)):
            if form in self._known:
                return form
        return twice
