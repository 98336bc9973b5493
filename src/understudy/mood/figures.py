"""How well labels are guessed: accuracy, F1 and the confusion of labels.

Owns the arithmetic. Does not own who guesses.
"""

from collections.abc import Sequence

import msgspec

from understudy.events import MoodLabel
from understudy.mood.classifier import LABELS


class Figures(msgspec.Struct, frozen=True):
    """The quality of guesses, each from 0 to 1.

    `f1` is by label; `confusion` counts by true label, then by guessed label.
    """

    lines: int
    accuracy: float
    macro_f1: float
    f1: dict[MoodLabel, float]
    confusion: dict[MoodLabel, dict[MoodLabel, int]]


def compare(truth: Sequence[MoodLabel], guessed: Sequence[MoodLabel]) -> Figures:
    """The figures of `guessed` against `truth`; both of one length."""
    confusion: dict[MoodLabel, dict[MoodLabel, int]] = {
        label: dict.fromkeys(LABELS, 0) for label in LABELS
    }
    for true, guess in zip(truth, guessed, strict=True):
        confusion[true][guess] += 1
    f1: dict[MoodLabel, float] = {label: _f1(confusion, label) for label in LABELS}
    right = sum(confusion[label][label] for label in LABELS)
    return Figures(
        lines=len(truth),
        accuracy=right / len(truth) if truth else 0.0,
        macro_f1=sum(f1.values()) / len(LABELS),
        f1=f1,
        confusion=confusion,
    )


def _f1(confusion: dict[MoodLabel, dict[MoodLabel, int]], label: MoodLabel) -> float:
    """The harmonic mean of precision and recall; 0 where there is nothing to find."""
    right = confusion[label][label]
    true = sum(confusion[label].values())
    guessed = sum(row[label] for row in confusion.values())
    return 2 * right / (true + guessed) if true + guessed else 0.0
