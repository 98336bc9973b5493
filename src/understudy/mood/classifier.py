"""What a message sounds like, by any means: one interface to the lexicon and to every model.

Owns the interface and the classifier over the lexicon. Does not own the other means (`trained`,
`transformer`, `chat_model`) nor which one is used (`app`).
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from understudy.events import MoodLabel
from understudy.mood.lexicon import Lexicon, label_of

LABELS: tuple[MoodLabel, ...] = ("negative", "neutral", "positive")


class Sentiment(msgspec.Struct, frozen=True):
    """What a message sounds like: a label, and a score from -1 to 1 that agrees with it."""

    label: MoodLabel
    score: float


class MoodClassifier(Protocol):
    """Judges chat lines in batches."""

    name: str
    """What it is, for logs and tables."""

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each text, in their order; raises `MoodError`."""
        ...

    async def aclose(self) -> None:
        """Give back what it holds. It is not used afterwards."""
        ...


class LexiconClassifier:
    """The word lists as a classifier."""

    name = "lexicon"

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self._lexicon = lexicon or Lexicon()

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each text, in their order."""
        return [Sentiment(label_of(score), score) for score in self._lexicon.score_all(texts)]

    async def aclose(self) -> None:
        """Nothing is held."""


def from_probabilities(negative: float, neutral: float, positive: float) -> Sentiment:
    """The likeliest label, and the balance of positive and negative as the score."""
    likeliest = max(zip((negative, neutral, positive), LABELS, strict=True))
    return Sentiment(likeliest[1], positive - negative)


def parse_label(text: str) -> MoodLabel | None:
    """The label that `text` names, in any case and with anything around it; None for another."""
    word = text.strip().strip(".\"'`*").casefold()
    return next((label for label in LABELS if label == word), None)
