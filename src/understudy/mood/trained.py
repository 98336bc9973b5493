"""The trained model as it is served: numpy only, in batches, without the library it came from.

Owns the arithmetic (TF-IDF of words and pieces, the lexicon's numbers, a softmax over three labels)
and the file of a version. Does not own how the weights are found (`training`) nor which version is
used (`models`).
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.mood.classifier import LABELS, Sentiment, from_probabilities
from understudy.mood.errors import MoodError
from understudy.mood.features import NUMBERS, TERMS, all_numbers
from understudy.mood.lexicon import Lexicon

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

FORMAT = 1
BATCH = 256
MAX_FILE_BYTES = 256 * 1024 * 1024


class TermWeights(msgspec.Struct, frozen=True):
    """One kind of terms: the number of each, their rarity, and their weights by label."""

    vocabulary: dict[str, int]
    rarity: "Array"
    """Inverse document frequency by term, shape (terms,)."""
    weights: "Array"
    """Shape (terms, labels)."""


class TrainedModel:
    """A version that is ready to judge lines."""

    def __init__(
        self,
        terms: dict[str, TermWeights],
        number_weights: "Array",
        bias: "Array",
        *,
        lexicon: Lexicon | None = None,
    ) -> None:
        """`number_weights` has the shape (numbers, labels), `bias` (labels,)."""
        self._terms = terms
        self._number_weights = number_weights
        self._bias = bias
        self._lexicon = lexicon or Lexicon()

    def probabilities(self, texts: Sequence[str]) -> "Array":
        """The probability of each label (negative, neutral, positive), shape (texts, 3)."""
        numpy = _numpy()
        if not texts:
            return numpy.zeros((0, len(LABELS)))
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return numpy.concatenate([self._batch(batch) for batch in batches])

    def label(self, texts: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each text, in their order."""
        return [from_probabilities(*row) for row in self.probabilities(texts).tolist()]

    def save(self, path: Path) -> None:
        """Write the weights to `path` (an `.npz` without pickled objects)."""
        numpy = _numpy()
        arrays: dict[str, Any] = {
            "format": numpy.array(FORMAT),
            "number_weights": self._number_weights,
            "bias": self._bias,
        }
        for kind, terms in self._terms.items():
            # Terms hold no line ends: they are cut from lines whose white space was made spaces.
            text = "\n".join(sorted(terms.vocabulary, key=terms.vocabulary.__getitem__))
            encoded = text.encode("utf-8", "surrogatepass")
            arrays[f"{kind}_terms"] = numpy.frombuffer(encoded, dtype=numpy.uint8)
            arrays[f"{kind}_rarity"] = terms.rarity
            arrays[f"{kind}_weights"] = terms.weights
        with path.open("wb") as file:
            numpy.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path, *, lexicon: Lexicon | None = None) -> "TrainedModel":
        """The model in `path`; raises `MoodError`."""
        numpy = _numpy()
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES)
            arrays = numpy.load(io.BytesIO(data), allow_pickle=False)
            if int(arrays["format"]) != FORMAT:
                raise MoodError(f"{path} is of another version of Understudy: train it again")
            terms = {kind: _read_terms(arrays, kind) for kind in TERMS}
            model = cls(terms, arrays["number_weights"], arrays["bias"], lexicon=lexicon)
        except MoodError:
            raise
        except OSError as error:
            reason = error.strerror or "it cannot be read"
            raise MoodError(f"the mood model {path} cannot be read: {reason}") from None
        except Exception as error:
            # Numpy, zipfile and zlib raise many kinds for a file that is not what it should be.
            raise MoodError(f"{path} holds no mood model: train one anew") from error
        model._check(path)
        return model

    def _check(self, path: Path) -> None:
        labels = len(LABELS)
        sizes = [
            len(terms.vocabulary) == len(terms.rarity)
            and terms.weights.shape[1:] == (labels,)
            and len(terms.weights) == len(terms.rarity)
            for terms in self._terms.values()
        ]
        numbers = self._number_weights.shape == (len(NUMBERS), labels)
        if not all(sizes) or not numbers or self._bias.shape != (labels,):
            raise MoodError(f"{path} does not fit this version of Understudy: train it again")

    def _batch(self, texts: Sequence[str]) -> "Array":
        numpy = _numpy()
        logits = numpy.array(all_numbers(self._lexicon, texts)) @ self._number_weights + self._bias
        for kind, terms in self._terms.items():
            logits += _weigh(terms, [TERMS[kind](text) for text in texts])
        exponents = numpy.exp(logits - logits.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)


class TrainedClassifier:
    """A trained model as a classifier."""

    def __init__(self, model: TrainedModel, version: str) -> None:
        self.name = f"trained {version}"
        self._model = model

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each text, in their order; a batch takes a few milliseconds."""
        return self._model.label(texts)

    async def aclose(self) -> None:
        """Nothing is held."""


def _weigh(terms: TermWeights, lines: Sequence[Sequence[str]]) -> "Array":
    """What each line's terms add to the labels: TF-IDF of length 1 times the weights."""
    numpy = _numpy()
    size = max(1, len(terms.vocabulary))
    number_of = terms.vocabulary.get
    known = [[at for at in map(number_of, line) if at is not None] for line in lines]
    rows = numpy.repeat(numpy.arange(len(lines)), [len(line) for line in known])
    flat = numpy.array([number for line in known for number in line], dtype=numpy.int64)
    cells, counts = numpy.unique(rows * size + flat, return_counts=True)
    rows, columns = cells // size, cells % size
    values = counts * terms.rarity[columns]
    squares = numpy.bincount(rows, values * values, minlength=len(lines))
    lengths = numpy.sqrt(squares)
    lengths[lengths == 0] = 1.0
    values /= lengths[rows]
    return numpy.stack(
        [
            numpy.bincount(rows, values * terms.weights[columns, label], minlength=len(lines))
            for label in range(len(LABELS))
        ],
        axis=1,
    )


def _read_terms(arrays: Any, kind: str) -> TermWeights:
    text = arrays[f"{kind}_terms"].tobytes().decode("utf-8", "surrogatepass")
    vocabulary = {term: number for number, term in enumerate(text.split("\n"))} if text else {}
    return TermWeights(vocabulary, arrays[f"{kind}_rarity"], arrays[f"{kind}_weights"])


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise MoodError(
            "a trained mood model needs numpy: pip install 'understudy[mood]'"
        ) from None
    return numpy
