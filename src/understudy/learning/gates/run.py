"""G1: the training went well, on the model that is used.

Owns what is asked of a run's figures. Does not own the run (`training`).
"""

import math
from typing import Any

import msgspec

from understudy.learning.gates.limits import Limits
from understudy.learning.gates.verdict import Verdict, verdict


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run; losses in nats per token, None where the trainer told none."""

    first_loss: float | None
    last_loss: float | None
    trained_on: str
    """Hash of the base the adapter was trained on."""
    in_use: str
    """Hash of the base that is used."""
    registered: str
    """Hash of the adapter when it was registered."""
    found: str
    """Hash of the adapter as it lies there now."""
    rows_given: int
    """Rows of the files that were trained on, as their manifest counts them."""
    rows_told_of: int
    """Rows that were trained on, held out, or left out for a reason."""
    rows_left_out: int


def ran_well(run: RunFigures, limits: Limits) -> Verdict:
    """G1: finite losses that fell, the right base, the adapter that was registered, all rows."""
    problems: list[str] = []
    first, last = run.first_loss, run.last_loss
    if first is None or last is None:
        problems.append("the run tells no losses")
    elif not (math.isfinite(first) and math.isfinite(last)):
        problems.append("a loss of the run is not a number")
    elif last >= first:
        problems.append(f"the loss did not fall ({first:.3f} to {last:.3f})")
    if run.trained_on != run.in_use:
        problems.append("it was trained on another model than the one that is used")
    if run.registered != run.found:
        problems.append("its adapter is not the one that was registered")
    if run.rows_told_of != run.rows_given:
        problems.append(f"of {run.rows_given} rows {run.rows_told_of} are accounted for")
    if run.rows_left_out > limits.left_out * run.rows_given:
        problems.append(f"{run.rows_left_out} of {run.rows_given} rows could not be learned from")
    return verdict("G1", problems, _well(first, last), **_figures(run))


def _well(first: float | None, last: float | None) -> str:
    return "" if first is None or last is None else f"the loss fell from {first:.3f} to {last:.3f}"


def _figures(run: RunFigures) -> dict[str, Any]:
    figures = msgspec.to_builtins(run)
    # JSON knows no infinity.
    for name in ("first_loss", "last_loss"):
        value = figures[name]
        if value is not None and not math.isfinite(value):
            figures[name] = str(value)
    return figures
