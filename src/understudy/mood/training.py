"""Finds the weights of the mood model on labelled lines, with scikit-learn.

Owns the recipe: TF-IDF of words and pieces, the lexicon's numbers, logistic regression; and its
cross-validated figures. Does not own the served model (`trained`) nor where versions lie
(`models`).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from understudy.events import MoodLabel
from understudy.mood.classifier import LABELS
from understudy.mood.errors import MoodError
from understudy.mood.features import TERMS, all_numbers
from understudy.mood.figures import Figures, compare
from understudy.mood.labels import LabelledLine, counts
from understudy.mood.lexicon import Lexicon
from understudy.mood.trained import TermWeights, TrainedModel

FOLDS = 10
MOST_TERMS = 50_000
"""Terms of each kind that are kept, the most frequent first."""
_STRENGTH = 2.0
_SEED = 7
_STEPS = 2_000

Progress = Callable[[int, int | None], None]


class Training(msgspec.Struct, frozen=True):
    """A model, and what cross-validation says of its recipe on these lines."""

    model: TrainedModel
    figures: Figures
    folds: int


def train(
    lines: Sequence[LabelledLine],
    *,
    lexicon: Lexicon | None = None,
    progress: Progress = lambda done, total: None,
) -> Training:
    """Fit a model and cross-validate it; raises `MoodError`. Takes seconds to minutes.

    `progress` is told of the folds done and their number. The same lines give the same model.
    """
    _check(lines)
    lexicon = lexicon or Lexicon()
    folds = min(FOLDS, min(counts(lines).values()))
    texts = [line.text for line in lines]
    truth: list[MoodLabel] = [line.label for line in lines]
    guessed: list[MoodLabel] = list(truth)
    progress(0, folds + 1)
    for done, (learn, test) in enumerate(_split(truth, folds), 1):
        part = fit([texts[at] for at in learn], [truth[at] for at in learn], lexicon)
        for at, number in zip(test, part.predict([texts[at] for at in test]), strict=True):
            guessed[at] = LABELS[number]
        progress(done, folds + 1)
    model = to_served(fit(texts, truth, lexicon), lexicon)
    progress(folds + 1, folds + 1)
    return Training(model, compare(truth, guessed), folds)


def fit(texts: Sequence[str], labels: Sequence[MoodLabel], lexicon: Lexicon) -> Any:
    """A fitted scikit-learn pipeline over texts, whose classes are numbers of `LABELS`."""
    sklearn = _sklearn()
    parts: list[tuple[str, Any]] = [
        (
            kind,
            sklearn.TfidfVectorizer(
                analyzer=terms, max_features=MOST_TERMS, min_df=2 if len(texts) >= 1_000 else 1
            ),
        )
        for kind, terms in TERMS.items()
    ]
    numbers = sklearn.FunctionTransformer(
        all_of_batch, kw_args={"lexicon": lexicon}, validate=False
    )
    pipeline = sklearn.Pipeline(
        [
            ("features", sklearn.FeatureUnion([*parts, ("numbers", numbers)])),
            ("labels", sklearn.LogisticRegression(C=_STRENGTH, max_iter=_STEPS)),
        ]
    )
    with warnings.catch_warnings():
        # Of a fit that could go on a little; the cross-validated figures tell what it is worth.
        warnings.filterwarnings("ignore", category=sklearn.ConvergenceWarning)
        pipeline.fit(list(texts), [LABELS.index(label) for label in labels])
    return pipeline


def all_of_batch(texts: Sequence[str], lexicon: Lexicon) -> list[list[float]]:
    """The lexicon's numbers, as scikit-learn calls for them."""
    return all_numbers(lexicon, texts)


def to_served(pipeline: Any, lexicon: Lexicon) -> TrainedModel:
    """The pipeline's weights as a model that needs no scikit-learn."""
    parts = dict(pipeline.named_steps["features"].transformer_list)
    regression = pipeline.named_steps["labels"]
    weights = regression.coef_.T
    terms: dict[str, TermWeights] = {}
    start = 0
    for kind in TERMS:
        vocabulary = {term: int(at) for term, at in parts[kind].vocabulary_.items()}
        end = start + len(vocabulary)
        terms[kind] = TermWeights(vocabulary, parts[kind].idf_, weights[start:end])
        start = end
    return TrainedModel(terms, weights[start:], regression.intercept_, lexicon=lexicon)


def _check(lines: Sequence[LabelledLine]) -> None:
    missing = [label for label, count in counts(lines).items() if count < 2]
    if missing:
        raise MoodError(
            f"there are fewer than two lines labelled {' or '.join(missing)}: label some more"
        )


def _split(truth: Sequence[MoodLabel], folds: int) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Pairs of places to learn from and to test on; every place is tested once."""
    splitter = _sklearn().StratifiedKFold(n_splits=folds, shuffle=True, random_state=_SEED)
    return splitter.split(truth, truth)


class _Library(msgspec.Struct, frozen=True):
    """The parts of scikit-learn that are used."""

    TfidfVectorizer: Any
    FunctionTransformer: Any
    FeatureUnion: Any
    Pipeline: Any
    LogisticRegression: Any
    StratifiedKFold: Any
    ConvergenceWarning: Any


def _sklearn() -> _Library:
    try:
        from sklearn import (  # pyright: ignore[reportMissingTypeStubs]
            exceptions,
            feature_extraction,
            linear_model,
            model_selection,
            pipeline,
            preprocessing,
        )
    except ImportError:
        raise MoodError(
            "training a mood model needs scikit-learn: pip install 'understudy[mood]'"
        ) from None
    return _Library(
        TfidfVectorizer=feature_extraction.text.TfidfVectorizer,
        FunctionTransformer=preprocessing.FunctionTransformer,
        FeatureUnion=pipeline.FeatureUnion,
        Pipeline=pipeline.Pipeline,
        LogisticRegression=linear_model.LogisticRegression,
        StratifiedKFold=model_selection.StratifiedKFold,
        ConvergenceWarning=exceptions.ConvergenceWarning,
    )
