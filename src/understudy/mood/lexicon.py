"""What one chat message sounds like, by emotes, emoji and words.

Owns the rules: negation, stretched words, capitals, irony. Does not own the lists (`word_lists`,
`channel_words`) nor a trained model (`trained`).

Every distinct token is looked up once and remembered, so that a line costs little more than
splitting it. Cost is linear in the length of a message, of which only the beginning is read.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from understudy.events import MoodLabel
from understudy.mood.tokens import TokenReader
from understudy.mood.word_lists import Modifier, WordLists, built_in_lists

T = TypeVar("T")

MAX_CHARS = 500
"""Characters of a message that are read: as many as Twitch lets a message have."""
LABEL_AT = 0.3
"""Scores this far from 0 are negative or positive."""

_REACH = 3
"""Words after a negation that it turns around."""
_NEGATED = -0.7
_STRONGER = 1.3
_WEAKER = 0.6
_BEFORE_TURN = 0.5
_IRONIC = -0.7
_LAUGHED_AT = 0.1
_MAX_ENTRIES = 20_000
_MAX_TOKEN = 64
_CLAUSE_ENDS = ".,;!?:"

# One number stands for a token: its value, plus 16 for each of these, so that one comparison tells
# whether a message holds any word that acts on others.
_STEP = 16.0
_PLAIN = 8.0
_NEGATE, _BOOST, _SOFTEN, _TURN, _IRONY, _LAUGH = 1, 2, 4, 8, 16, 32
_ANCHOR = 64 * _STEP
"""Marks the word by which a phrase is found."""
_ANCHORED = _ANCHOR - _PLAIN
_KINDS: dict[Modifier, int] = {
    "negate": _NEGATE,
    "boost": _BOOST,
    "soften": _SOFTEN,
    "turn": _TURN,
    "ironic": _IRONY,
    "laugh": _LAUGH,
}


def label_of(score: float) -> MoodLabel:
    """The label of a score from -1 to 1."""
    if score >= LABEL_AT:
        return "positive"
    return "negative" if score <= -LABEL_AT else "neutral"


class Findings(msgspec.Struct, frozen=True):
    """What was found in a message: values of single words and emotes, and whether irony was."""

    values: tuple[float, ...]
    ironic: bool = False

    @property
    def score(self) -> float:
        """From -1 to 1."""
        return _score(self.values)


class _Phrase(msgspec.Struct, frozen=True):
    """A phrase as found from its anchor, which stands `before` words after its start."""

    words: list[str]
    before: int
    value: float


class Lexicon:
    """Scores messages with word lists; the built-in ones by default."""

    def __init__(self, lists: WordLists | None = None) -> None:
        self.lists = lists or built_in_lists()
        self._tokens = TokenReader(self.lists)
        self._phrases = _by_anchor(self.lists)
        self._codes = _Remembered(self._code)
        self._words = _Remembered(self._tokens.plain)

    def score(self, text: str) -> float:
        """The sentiment of `text` from -1 (negative) to 1."""
        tokens = text[:MAX_CHARS].split()
        codes = list(map(self._codes.__getitem__, tokens))
        hits = [code for code in codes if code]
        if not hits:
            return 0.0
        # In many messages no word acts on another.
        if max(hits) < _PLAIN:
            total = sum(hits) / math.sqrt(len(hits))
            return total / math.sqrt(1.0 + total * total)
        return _score(self._weigh(tokens, codes)[0])

    def score_all(self, texts: Iterable[str]) -> list[float]:
        """The scores of `texts`, in their order."""
        return [self.score(text) for text in texts]

    def label(self, text: str) -> MoodLabel:
        """What `text` sounds like."""
        return label_of(self.score(text))

    def find(self, text: str) -> Findings:
        """What the score of `text` is made of."""
        tokens = text[:MAX_CHARS].split()
        values, ironic = self._weigh(tokens, list(map(self._codes.__getitem__, tokens)))
        return Findings(tuple(values), ironic)

    def _weigh(self, tokens: list[str], codes: list[float]) -> tuple[list[float], bool]:
        """The values that count, after all that the words do to each other; and irony."""
        top = max(codes, default=0.0)
        if top >= _ANCHORED:
            codes = self._join_phrases(tokens, codes)
            top = max(codes)
        if top < _PLAIN:
            return [code for code in codes if code], False
        values, kinds = self._modify(tokens, codes)
        if kinds & _LAUGH and min(values) < 0:
            values = [_LAUGHED_AT * v if v > 0 else v for v in values]
        if kinds & _IRONY:
            values = [_IRONIC * v if v > 0 else v for v in values]
        return values, bool(kinds & _IRONY)

    def _join_phrases(self, tokens: list[str], codes: list[float]) -> list[float]:
        """The codes with each phrase's value at its last word; its words lose their own meaning."""
        words = list(map(self._words.__getitem__, tokens))
        joined = [code - _ANCHOR if code >= _ANCHORED else code for code in codes]
        for at, code in enumerate(codes):
            if code < _ANCHORED:
                continue
            for phrase in self._phrases[words[at]]:
                start = at - phrase.before
                end = start + len(phrase.words)
                if start >= 0 and words[start:end] == phrase.words:
                    joined[start:end] = [0.0] * (end - start - 1) + [phrase.value]
                    break
        return joined

    def _modify(self, tokens: list[str], codes: list[float]) -> tuple[list[float], int]:
        """The values after negation, emphasis and turns such as `but`; and the kinds met."""
        values: list[float] = []
        met, negated, factor = 0, 0, 1.0
        for token, code in zip(tokens, codes, strict=True):
            kind, value = 0, code
            if code >= _PLAIN:
                kind = int((code + _PLAIN) // _STEP)
                value -= _STEP * kind
                met |= kind
                if kind & _TURN:
                    values = [_BEFORE_TURN * earlier for earlier in values]
                    negated = 0
            if value:
                # Emotes and emoji say how the whole is meant: no word turns them around.
                turned = negated > 0 and not self._tokens.is_emote(token)
                values.append(value * factor * (_NEGATED if turned else 1.0))
                factor = 1.0
            if kind & (_BOOST | _SOFTEN):
                factor = _STRONGER if kind & _BOOST else _WEAKER
            if kind & _NEGATE:
                negated = _REACH
            elif negated:
                negated -= 1
            if negated and token[-1] in _CLAUSE_ENDS:
                negated = 0
        return values, met

    def _code(self, token: str) -> float:
        value = self._tokens.value(token)
        word = self._tokens.plain(token)
        modifier = self.lists.modifiers.get(token) or self.lists.modifiers.get(word)
        kind = _KINDS[modifier] if modifier else 0
        return value + _STEP * kind + (_ANCHOR if word in self._phrases else 0.0)


def _score(values: Sequence[float]) -> float:
    """Several hits count more than one, but less than each alone."""
    if not values:
        return 0.0
    total = sum(values) / math.sqrt(len(values))
    return total / math.sqrt(1.0 + total * total)


_COMMON = re.compile(
    r"a|an|the|i|i'm|im|we|you|he|he's|hes|she|it|it's|its|this|that|they|my|me|of|in|on|at|up|out"
    r"|to|for|so|no|not|what|who|why|how|is|be|are|was|do|don't|dont|can|can't|cant|go|get|got|one"
    r"|all|over|just|too|like|again|off|big|doing|way|really|very|good|great|well"
)


def _by_anchor(lists: WordLists) -> dict[str, list[_Phrase]]:
    """The phrases, longest first, by the word that makes them worth looking for.

    That is the longest of its words that is not common, so that few lines are looked at in vain.
    """
    found: dict[str, list[_Phrase]] = {}
    for text in sorted(lists.phrases, key=lambda phrase: -len(phrase.split())):
        words = text.split()
        anchor = max(words, key=lambda word: (_COMMON.fullmatch(word) is None, len(word)))
        phrase = _Phrase(words, words.index(anchor), lists.phrases[text])
        found.setdefault(anchor, []).append(phrase)
    return found


class _Remembered(dict[str, T]):
    """Results by token, bounded: it starts anew when it is full."""

    def __init__(self, find: Callable[[str], T]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, token: str) -> T:
        found = self._find(token[:_MAX_TOKEN])
        if len(token) <= _MAX_TOKEN:
            if len(self) >= _MAX_ENTRIES:
                self.clear()
            self[token] = found
        return found
