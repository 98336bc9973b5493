"""Words that are recognised under disguise and left alone inside other words.

Owns the normalisation: case, accents, look-alike letters, `l33t`, repeats, dots and spaces between
letters. Does not own which words are blocked nor what happens then (`moderation`).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby

_LOOKS = {
    "a": "a4@^*",
    "b": "b8",
    "c": "c(<",
    "e": "e3*",
    "g": "g69",
    "i": "i1!|l*",
    "l": "l1|i!",
    "o": "o0*",
    "s": "s5$z",
    "t": "t7+",
    "u": "uv*",
    "v": "vu",
    "z": "z2s",
}
"""What may stand for a letter; a star may stand for any vowel."""

_VOWELS = "aeiou"
_HOMOGLYPHS = str.maketrans(
    # Cyrillic and Greek letters that look Latin.
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u043a\u043c\u0442"
    "\u03b1\u03b5\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u0131\u0261",
    "aeopcyxijsdqkmtaeopviktuig",
)
_UNSEEN = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0"
    "\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufe20-\ufe2f\ufeff]"
)
_SEPARATORS = re.compile(r"[\W_]+")
_SPACE = re.compile(r"\s")
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u9fff\uac00-\ud7af]")
_ENDINGS = "(?:s|z|es|ed|ing|er|ers)?"
_DOTTED = r"(?:[^\w\s]|_){0,2}"
_NOT_AFTER_LETTER = r"(?<![^\W\d_])"
_NOT_BEFORE_LETTER = r"(?![^\W\d_])"
LONGEST_PHRASE = 64
_MOST_REPEATS = 3
# Longer runs are cut before matching, so that every pattern has a bounded number of ways to fail.
_LONG_RUN = re.compile(rf"((.)\2{{{_MOST_REPEATS - 1}}})\2+", re.DOTALL)
_TOO_LONG_RUN = re.compile(rf"(.)\1{{{_MOST_REPEATS}}}", re.DOTALL)  # the same, found sooner


WHOLE, OPENS, GOES_ON, ENDS, BEGINS, PAIR = 1, 2, 4, 8, 16, 32
"""What a word, a text between white space, can be to a blocked one, as bits: all of it, or more;
the first word of a phrase, and another; letters of one that is spaced out ("k y s") where the word
ends, and where it begins; enough letters that one more word completes it ("k.y s")."""


class Blocklist:
    """A list of words and phrases, found in any of their disguises.

    A word counts only where it stands alone, give or take an English ending, so that places and
    surnames with one inside pass. At least two of its characters must be letters, so that numbers
    pass, unless it is written exactly as blocked. Entries without a letter or digit are ignored.
    """

    def __init__(self, words: Iterable[str]) -> None:
        folded = {" ".join(_fold(word).split()) for word in words}
        self._words = sorted(word for word in folded if any(map(str.isalnum, word)))
        self._exact = frozenset(_SEPARATORS.sub("", word) for word in self._words)
        self._pattern = _alternation(map(_disguised, self._words))
        self._quick = _alternation(_quick(word) for word in self._words if word.isascii())
        self._foreign = not all(map(str.isascii, self._words))
        self._beginnings = _alternation(filter(None, map(_beginning, self._words)))
        self._parts = _parts(self._words)

    def traits(self, word: str) -> int:
        """What `word`, a text without white space, can be to a blocked one: the bits above.

        Never too few, so a text can be proven harmless. `unfinished` is 0 if no word has `WHOLE`
        or `OPENS`. `search` finds nothing if no word has `WHOLE`, none with `GOES_ON` follows one
        with `OPENS`, and where one with `BEGINS` follows one with `ENDS`, neither has `PAIR` and
        the next has no `BEGINS`.
        """
        folded = _fold(word)
        if not folded or _SPACE.search(folded):
            return WHOLE
        traits = WHOLE if self._pattern and self._pattern.search(folded) else 0
        return traits + sum(bit for bit, part in self._parts.items() if part.search(folded))

    def may_match(self, text: str) -> bool:
        """Whether `search` could find something: cheaper, and never wrongly False."""
        return self._may_match(_fold(text))

    def search(self, text: str) -> bool:
        """Whether a blocked word is in `text`."""
        folded = _fold(text)
        return self._may_match(folded) and self._first(folded, 0) is not None

    def mask(self, text: str, by: str) -> str:
        """`text` with every blocked word replaced by `by`; the rest stays as it was."""
        if not self.search(text):
            return text
        folded, places = _fold_in_place(text)
        parts: list[str] = []
        done = position = 0
        while (match := self._first(folded, position)) is not None:
            start, end = places[match.start()], places[match.end()]
            parts += text[done : max(start, done)], by
            done = position = end
            position = match.end()
        return "".join(parts) + text[done:]

    def unfinished(self, text: str) -> int:
        """How many characters at the end of `text` begin a blocked phrase without ending it."""
        if self._beginnings is None:
            return 0
        tail = text[-LONGEST_PHRASE:]
        folded, places = _fold_in_place(tail)
        match = self._beginnings.search(folded)
        return len(tail) - places[match.start()] if match else 0

    def _may_match(self, folded: str) -> bool:
        """Whether `_first` could find something: cheap, and never wrongly False."""
        if self._foreign and not folded.isascii():
            return True
        if self._quick is None:
            return False
        return self._quick.search(_bones(folded)) is not None

    def _first(self, folded: str, position: int) -> re.Match[str] | None:
        if self._pattern is None:
            return None
        for match in self._pattern.finditer(folded, position):
            if sum(map(str.isalpha, match[0])) >= 2:
                return match
            if _SEPARATORS.sub("", match[0]) in self._exact:
                return match
        return None


def _fold(text: str) -> str:
    """Small letters without accents, invisible characters and long runs; look-alikes are Latin."""
    plain = _plain(text)
    return _LONG_RUN.sub(r"\1", plain) if _TOO_LONG_RUN.search(plain) else plain


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return _UNSEEN.sub("", decomposed).translate(_HOMOGLYPHS)


def _fold_in_place(text: str) -> tuple[str, list[int]]:
    """The folded text, and for each of its characters (and its end) the place in `text`."""
    folded: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for part in _plain(char):
            if folded[-_MOST_REPEATS:] != [part] * _MOST_REPEATS:
                folded.append(part)
                places.append(place)
    return "".join(folded), [*places, len(text)]


def _letters(word: str) -> list[str]:
    return [_letter(char, stars=len(word) > 3) for char in word]


def _letter(char: str, *, stars: bool) -> str:
    looks = _LOOKS.get(char, char)
    return f"[{re.escape(looks if stars else looks.replace('*', ''))}]{{1,{_MOST_REPEATS}}}"


def _disguised(phrase: str) -> str:
    """A pattern for `phrase`: letters together, dotted, or all spaced out."""
    if _UNSPACED.search(phrase):
        return re.escape(phrase)
    words = phrase.split()
    letters = [_letters(word) for word in words]
    close = r"[\W_]+".join(_DOTTED.join(word) for word in letters)
    spaced = r"[\W_]{1,3}".join(letter for word in letters for letter in word)
    before = r"(?<!\d)" if phrase[0].isdecimal() else ""
    after = r"(?!\d)" if phrase[-1].isdecimal() else ""
    found = f"(?:{close}{_ENDINGS}|{spaced})"
    return f"{_NOT_AFTER_LETTER}{before}{found}{after}{_NOT_BEFORE_LETTER}"


def _beginning(phrase: str) -> str:
    """A pattern for the words of `phrase` but the last, at the end of a text."""
    pattern = ""
    for word in reversed(phrase.split()[:-1]):
        letters = "".join(_letters(word))
        pattern = letters + (rf"(?:[\W_]+{pattern})?" if pattern else "")
    return rf"{_NOT_AFTER_LETTER}{pattern}[\W_]*\Z" if pattern else ""


def _parts(phrases: Sequence[str]) -> dict[int, re.Pattern[str]]:
    """Patterns for words that may be part of a blocked text which goes on beyond them."""
    patterns: dict[int, str] = {}
    split = [phrase.split() for phrase in phrases]
    if any(len(words) > 1 for words in split):
        opening = "|".join(_loosely(words)[0] for words in split if len(words) > 1)
        further = "|".join(part for words in split for part in _loosely(words)[1:])
        patterns[OPENS] = rf"(?:{opening})(?=[\W_]|\Z)"
        patterns[GOES_ON] = rf"\A[\W_]*(?:{further}|\Z)"
    spaced = [words for words in split if not _UNSPACED.search("".join(words))]
    letters = {letter for words in spaced for word in words for letter in _letters(word)}
    if letters:
        letter = f"(?:{'|'.join(sorted(letters))})"
        # A lone dash or dot may lie between two letters: it is as good as one.
        ends = rf"(?:{_NOT_AFTER_LETTER}{letter}[\W_]{{0,2}}|\A[\W_])\Z"
        begins = rf"\A(?:[\W_]{{0,2}}{letter}{_NOT_BEFORE_LETTER}|[\W_]\Z)"
        two = rf"{_NOT_AFTER_LETTER}{letter}[\W_]{{1,3}}{letter}{_NOT_BEFORE_LETTER}"
        short = any(sum(map(len, words)) == 2 for words in spaced)
        patterns |= {ENDS: ends, BEGINS: begins, PAIR: f"{ends}|{begins}" if short else two}
    return {trait: re.compile(pattern) for trait, pattern in patterns.items()}


def _loosely(words: Sequence[str]) -> list[str]:
    """Finds all that stands for each of `words` in the patterns of their phrase."""
    if _UNSPACED.search("".join(words)):
        return [f"{re.escape(word)}|{''.join(_letters(word))}" for word in words]
    return [f"{_NOT_AFTER_LETTER}{_DOTTED.join(_letters(word))}" for word in words]


def _alternation(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(patterns)
    return re.compile(joined) if joined else None


def _quick(phrase: str) -> str:
    """Finds all that `_disguised` finds for an ASCII phrase, in the skeleton of a text."""
    pattern = ""
    for word in phrase.split():
        for letter, run in groupby(_bones(word)):
            count = len(list(run))
            # A star in place of a vowel leaves nothing in the skeleton.
            least = 0 if pattern and letter in _VOWELS and len(word) > 3 else count
            # A plain first letter lets the engine skip to where it occurs.
            first = "" if pattern else letter
            pattern += f"{first}{letter}{{{least - len(first)},{count * _MOST_REPEATS}}}"
    return pattern


def _bones(text: str) -> str:
    return text.encode("ascii", "ignore").translate(_SKELETON, _DROPPED).decode()


def _bare(char: str) -> str:
    """One letter for each group of characters that may stand for the same letters."""
    return {"l": "i", "v": "u", "z": "s"}.get(char, char)


def _skeleton() -> tuple[bytes, bytes]:
    table = bytearray(range(256))
    kept: set[int] = set()
    for letter in "abcdefghijklmnopqrstuvwxyz":
        table[ord(letter)] = table[ord(letter.upper())] = ord(_bare(letter))
        kept |= {ord(letter), ord(letter.upper())}
        for look in _LOOKS.get(letter, "").replace("*", ""):
            if not look.isalpha():
                table[ord(look)] = ord(_bare(letter))
                kept.add(ord(look))
    kept |= set(range(ord("0"), ord("9") + 1))
    return bytes(table), bytes(code for code in range(128) if code not in kept)


_SKELETON, _DROPPED = _skeleton()
