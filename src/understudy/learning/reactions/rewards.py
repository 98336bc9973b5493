"""How much better than expected a room reacted to a reply, and when that says something.

Owns the formula and the thresholds. Does not own the windows (`room`), the expectation (`expected`)
nor what is stored.

The reward of a reply is the sum over signals of (seen - expected) / standard deviation, weighted.
What is expected is learned from moments at which nobody was answered: chances that were left out
on purpose, which are the only fair comparison, and moments drawn without a reason, which count
half. Only extremes say something: the best fifth of a channel's replies is a weak thumb up, the
worst fifth one down of half that weight.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Literal

import msgspec

from understudy.learning.reactions.expected import Expectation, Guess
from understudy.learning.reactions.room import FEATURES
from understudy.storage.reactions import ReactionRow

Kind = Literal["reply", "control", "placebo"]
"""What a moment was: a reply, a chance left out on purpose, or one drawn without a reason."""

SIGNAL_WEIGHTS = {"laugh": 1.0, "addressed": 1.0, "votes": 3.0, "sentiment": 0.5}
ASSUMED_SPREADS = {"laugh": 0.6, "addressed": 0.6, "votes": 0.5, "sentiment": 0.3}
PLACEBO_WEIGHS = 0.5
ENOUGH_TO_COMPARE = 12.0
"""Moments without a reply, below which nothing can be expected."""
ENOUGH_REWARDS = 20
"""Rewards of a channel, below which nobody can say which are extreme."""
KEPT_REWARDS = 300
EXTREME = 0.2
LIKED_WEIGHT = 0.5
DISLIKED_WEIGHT = 0.25
NOTHING_TO_COMPARE = "nothing_to_compare"
PLACEBO_ID = "placebo_"
_CHANNELS = 1_000


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What the room was like before a moment `ts` (ms) and did after it."""

    id: str
    channel: str
    ts: int
    kind: Kind
    features: list[float]
    signals: dict[str, float]
    masked_by: str = ""


class Label(msgspec.Struct, frozen=True):
    """A weak thumb: 1 or -1, and its weight."""

    value: float
    weight: float


class Rewards:
    """Judges moments of all channels, in the order of their times."""

    def __init__(self) -> None:
        self._expectation = Expectation(FEATURES, ASSUMED_SPREADS, _CHANNELS)
        self._rewards: dict[str, deque[float]] = {}

    def remember(self, rows: Sequence[ReactionRow]) -> None:
        """Take in stored reactions of a channel, oldest first, as after a start."""
        for row in rows:
            if row.control and not row.masked_by:
                weight = PLACEBO_WEIGHS if row.id.startswith(PLACEBO_ID) else 1.0
                self._expectation.learn(row.channel, row.features, row.signals, weight)
            elif row.reward is not None:
                self._kept(row.channel).append(row.reward)

    def judge(self, moment: Moment) -> ReactionRow:
        """The reaction as it is stored; a moment without a reply teaches what to expect."""
        guesses = self._expectation.guess(moment.channel, moment.features)
        masked_by, reward = moment.masked_by, None
        if moment.kind == "reply" and not masked_by:
            if self._expectation.weight(moment.channel) < ENOUGH_TO_COMPARE:
                masked_by = NOTHING_TO_COMPARE
            else:
                reward = _reward(moment.signals, guesses)
        elif not masked_by:
            weight = PLACEBO_WEIGHS if moment.kind == "placebo" else 1.0
            self._expectation.learn(moment.channel, moment.features, moment.signals, weight)
        return ReactionRow(
            id=moment.id,
            channel=moment.channel,
            ts=moment.ts,
            control=moment.kind != "reply",
            signals=moment.signals,
            features=moment.features,
            expected={signal: guess.mean for signal, guess in guesses.items()},
            reward=reward,
            masked_by=masked_by,
        )

    def label(self, row: ReactionRow) -> Label | None:
        """What a reply's reward says among those before it in its channel; usually nothing."""
        if row.reward is None:
            return None
        kept = self._kept(row.channel)
        known = sorted(kept)
        kept.append(row.reward)
        if len(known) < ENOUGH_REWARDS:
            return None
        rank = bisect_left(known, row.reward) / len(known)
        if row.reward > 0 and rank >= 1 - EXTREME:
            return Label(1.0, LIKED_WEIGHT)
        if row.reward < 0 and rank < EXTREME:
            return Label(-1.0, DISLIKED_WEIGHT)
        return None

    def _kept(self, channel: str) -> deque[float]:
        kept = self._rewards.pop(channel, None) or deque(maxlen=KEPT_REWARDS)
        self._rewards[channel] = kept
        if len(self._rewards) > _CHANNELS:
            del self._rewards[next(iter(self._rewards))]
        return kept


def _reward(signals: dict[str, float], guesses: dict[str, Guess]) -> float:
    return sum(
        weight * (signals[signal] - guesses[signal].mean) / guesses[signal].spread
        for signal, weight in SIGNAL_WEIGHTS.items()
    )
