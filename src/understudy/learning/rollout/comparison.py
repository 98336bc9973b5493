"""A canary beside the live version: which of them is better received, and what follows.

Owns the decision. Does not own where outcomes come from (`watch`) nor the statistics
(`confidence`).

Both are compared over the same time in the same chat, for the game and the hour matter more than
any version. Judgements of people count fully (1 liked, 0 not), reactions of the room by how far
they are from what was expected (0.5 as expected); a reply that nobody reacted to counts for none.
"""

import math
from typing import Any, Literal

import msgspec

from understudy.learning.gates.preference import wilson
from understudy.learning.rollout.confidence import MeanOverTime
from understudy.storage.outcomes import Outcome

_Z99 = 2.326348
"""One-sided 99 %."""

Action = Literal["wait", "promote", "roll_back"]


class CanaryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a canary is decided."""

    error: float = 0.05
    """Chance of ever taking back a version for a difference that is none."""
    replies: int = 200
    """Replies of the canary after which it is decided …"""
    stream_replies: int = 30
    """… or this many when the stream is over."""
    judged: int = 20
    """Judged replies of each version that a decision needs."""
    most_replies: int = 1_000
    """Replies after which nobody's judgement is waited for any more."""
    margin: float = 0.1
    """How much worse it may be received, on a scale from 0 to 1, where nothing is sure."""


class Judgement(msgspec.Struct, frozen=True):
    """What is to be done with a canary, why in a sentence, and the figures."""

    action: Action
    reason: str
    figures: dict[str, Any] = {}
    unsafe: bool = False


class _Arm:
    def __init__(self, error: float) -> None:
        self.replies = 0
        self.unsafe = 0
        self.liking = MeanOverTime(error)

    def figures(self) -> dict[str, Any]:
        return {
            "replies": self.replies,
            "unsafe": self.unsafe,
            "judged": self.liking.count,
            "mean": self.liking.mean,
            "lower": self.liking.lower,
            "upper": self.liking.upper,
        }


class Comparison:
    """The comparison of `canary` with `live`, fed with outcomes in order of time."""

    def __init__(self, canary: str, live: str, limits: CanaryLimits | None = None) -> None:
        self._limits = limits or CanaryLimits()
        # Each arm may err with half the chance, so that together they err no more than allowed.
        error = self._limits.error / 2
        self._names = (canary, live)
        self._canary, self._live = _Arm(error), _Arm(error)
        self._before = (0, 0)

    def remember(self, replies: int, unsafe: int) -> None:
        """What the live version did before the canary began: replies, and unsafe ones of them."""
        self._before = (replies, unsafe)

    def observe(self, outcome: Outcome) -> None:
        """Take in a reply of either version; others are left out."""
        if outcome.version not in self._names:
            return
        arm = self._canary if outcome.version == self._names[0] else self._live
        arm.replies += 1
        arm.unsafe += outcome.unsafe
        if (liking := liking_of(outcome)) is not None:
            arm.liking.add(liking)

    def judgement(self, *, stream_over: bool = False) -> Judgement:
        """What is to be done by all that was observed."""
        canary, live = self._canary.liking, self._live.liking
        if reason := self._danger():
            return self._decide("roll_back", reason, unsafe=True)
        said = (
            f"it was received with {canary.mean:.2f} ({canary.count} judged of "
            f"{self._canary.replies}), {self._names[1]} with {live.mean:.2f} ({live.count} of "
            f"{self._live.replies})"
        )
        if canary.upper < live.lower:
            return self._decide("roll_back", f"{said}: surely worse")
        if not self._is_due(stream_over):
            return self._decide("wait", f"{said}: too early to tell")
        if canary.lower > live.upper:
            return self._decide("promote", f"{said}: surely better")
        if min(canary.count, live.count) < self._limits.judged:
            if self._canary.replies < self._limits.most_replies:
                return self._decide("wait", f"{said}: too few were judged")
            return self._decide("promote", f"{said}: nobody objected")
        if canary.mean < live.mean - self._limits.margin:
            return self._decide("roll_back", f"{said}: likely worse")
        return self._decide("promote", f"{said}: not worse")

    def _danger(self) -> str:
        """Why it must be taken back at once; empty when it need not."""
        replies, unsafe = (sum(pair) for pair in zip(self._before, self._of_live(), strict=True))
        rate = self._canary.unsafe / max(self._canary.replies, 1)
        bound = wilson(unsafe / replies, replies, _Z99)[1] if replies else 0.0
        if not self._canary.unsafe or rate <= bound:
            return ""
        return (
            f"{self._canary.unsafe} of its {self._canary.replies} replies were marked unsafe or "
            f"cut by the output filter, of {self._names[1]}'s {unsafe} of {replies}"
        )

    def _of_live(self) -> tuple[int, int]:
        return self._live.replies, self._live.unsafe

    def _is_due(self, stream_over: bool) -> bool:
        enough = self._limits.stream_replies if stream_over else self._limits.replies
        return self._canary.replies >= enough

    def _decide(self, action: Action, reason: str, *, unsafe: bool = False) -> Judgement:
        figures = {"canary": self._canary.figures(), "live": self._live.figures()}
        return Judgement(action, reason, figures, unsafe)


def liking_of(outcome: Outcome) -> float | None:
    """How a reply was received, 0 to 1; None when nobody knows."""
    if outcome.unsafe:
        return 0.0
    if outcome.rating:
        return 1.0 if outcome.rating > 0 else 0.0
    if outcome.reward is None or not math.isfinite(outcome.reward):
        return None
    return 1 / (1 + math.exp(-max(-30.0, min(outcome.reward, 30.0))))
