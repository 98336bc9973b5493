"""A chat line as the trained model sees it: its words, its pieces, and what the lexicon says.

Owns how terms are cut and which numbers are taken from the lexicon: training and serving use the
same functions. Does not own the weights (`trained`) nor how they are found (`training`).
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

from understudy.mood.lexicon import MAX_CHARS, Lexicon

SMALLEST_PIECE, LARGEST_PIECE = 2, 5
Terms = Callable[[str], list[str]]

NUMBERS = (
    "score",
    "best",
    "worst",
    "praise",
    "blame",
    "irony",
    "question",
    "exclamation",
    "capitals",
    "length",
)
"""What `numbers` returns, in this order."""


def words(text: str) -> list[str]:
    """The words of a line with their case, and each two neighbours."""
    single = text[:MAX_CHARS].split()
    return single + [f"{one} {two}" for one, two in pairwise(single)]


def pieces(text: str) -> list[str]:
    """All runs of 2 to 5 characters of a line in lower case, with a space at either end."""
    padded = f" {' '.join(text[:MAX_CHARS].lower().split())} "
    return [
        padded[start : start + size]
        for size in range(SMALLEST_PIECE, LARGEST_PIECE + 1)
        for start in range(len(padded) - size + 1)
    ]


TERMS: dict[str, Terms] = {"words": words, "pieces": pieces}
"""The kinds of terms by name; each is weighted and scaled on its own."""


def numbers(lexicon: Lexicon, text: str) -> list[float]:
    """What the lexicon and the writing say about a line, each about -1 to 1."""
    text = text[:MAX_CHARS]
    found = lexicon.find(text)
    praise = [value for value in found.values if value > 0]
    blame = [-value for value in found.values if value < 0]
    letters = sum(map(str.isalpha, text))
    return [
        found.score,
        max(praise, default=0.0),
        max(blame, default=0.0),
        min(3, len(praise)) / 3,
        min(3, len(blame)) / 3,
        float(found.ironic),
        float("?" in text),
        float("!" in text),
        sum(map(str.isupper, text)) / letters if letters else 0.0,
        min(1.0, len(text) / 100),
    ]


def all_numbers(lexicon: Lexicon, texts: Iterable[str]) -> list[list[float]]:
    """`numbers` of each text."""
    return [numbers(lexicon, text) for text in texts]
