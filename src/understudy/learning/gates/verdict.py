"""What a gate says.

Owns the form of a verdict and which gates are hard: none of those may fail.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

GateName = Literal["G0", "G1", "G2", "G3", "G4", "G5"]
HARD_GATES: frozenset[GateName] = frozenset({"G0", "G1", "G2", "G3", "G4"})
TITLES: dict[GateName, str] = {
    "G0": "data",
    "G1": "run",
    "G2": "better",
    "G3": "not worse",
    "G4": "behaviour",
    "G5": "preference",
}


class Verdict(msgspec.Struct, frozen=True):
    """Whether a gate was passed, why in one sentence, and every figure that was looked at."""

    gate: GateName
    passed: bool
    sentence: str
    figures: dict[str, Any] = {}
    skipped: bool = False
    """Nothing could be looked at, for the reason in `sentence`; it counts as passed."""


def verdict(gate: GateName, problems: Sequence[str], well: str, **figures: Any) -> Verdict:
    """Passed, saying `well`, when there are no problems; else all of them as one sentence."""
    sentence = "; ".join(problems) if problems else well
    return Verdict(gate, not problems, sentence, figures)


def skipped(gate: GateName, why: str) -> Verdict:
    """A gate that could look at nothing."""
    return Verdict(gate, True, f"skipped: {why}", {}, skipped=True)


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether no hard gate failed."""
    return all(v.passed for v in verdicts if v.gate in HARD_GATES)
