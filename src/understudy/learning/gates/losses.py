"""G2 and G3: better in the new time, not worse in all that came before.

Owns what the differences must be. Does not own their statistics (`bootstrap`).
"""

from collections.abc import Mapping

import msgspec

from understudy.learning.gates.bootstrap import Difference
from understudy.learning.gates.limits import Limits
from understudy.learning.gates.verdict import Verdict, verdict


def better(new_time: Difference | None, limits: Limits) -> Verdict:
    """G2: the held-out rows of the new time are said more readily, with 95 % confidence."""
    if new_time is None:
        return verdict("G2", ["there are no held-out rows of the new time to judge by"], "")
    problems: list[str] = []
    if new_time.sessions < limits.sessions:
        problems.append(
            f"the held-out rows are of {new_time.sessions} sessions, {limits.sessions} are needed"
        )
    elif new_time.upper >= 0:
        problems.append(
            f"the loss on the new time went from {new_time.old:.3f} to {new_time.new:.3f}, which "
            f"is not surely better (change {_interval(new_time)})"
        )
    well = (
        f"the loss on the new time fell from {new_time.old:.3f} to {new_time.new:.3f} (change "
        f"{_interval(new_time)})"
    )
    return verdict("G2", problems, well, new_time=msgspec.to_builtins(new_time))


def not_worse(before: Mapping[str, Difference | None], limits: Limits) -> Verdict:
    """G3: on each set of rows from `before` the loss rises by no more than the limits, surely.

    A set that is None has no rows yet and is left out.
    """
    known = {name: change for name, change in before.items() if change is not None}
    problems = [
        f"the loss on {name} rows rose from {change.old:.3f} to {change.new:.3f} (at most "
        f"{change.upper:+.3f}, {change.share:+.1%}; {limits.forgotten_nats:g} and "
        f"{limits.forgotten_share:.0%} are allowed)"
        for name, change in known.items()
        if change.upper > limits.forgotten_nats or change.share > limits.forgotten_share
    ]
    if known:
        well = ", ".join(f"{name} rows {c.change:+.3f}" for name, c in known.items())
        well = f"nothing was forgotten ({well} nats per token)"
    else:
        well = "there are no older or anchor rows yet, so nothing can be forgotten"
    figures = {name: msgspec.to_builtins(change) for name, change in known.items()}
    return verdict("G3", problems, well, **figures)


def _interval(change: Difference) -> str:
    return f"{change.change:+.3f}, 95 % between {change.lower:+.3f} and {change.upper:+.3f}"
