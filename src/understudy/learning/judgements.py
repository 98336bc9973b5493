"""What a reply is worth in training, by what people made of it.

Owns the weights, the labels and the pairs that follow from feedback. Does not own which feedback
counts (`storage.feedback`) nor how it comes in (`feedback`).
"""

from collections.abc import Iterable

import msgspec

from understudy.storage.feedback import standing, verdict
from understudy.storage.rows import FeedbackRow

MAX_WEIGHT = 2.0
EDIT_WEIGHT = 3.0
"""A corrected reply is a demonstration: it counts for more than the most liked one."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What all feedback of one reply says.

    `rating` is above 0 when it was liked, below when disliked; `correction` a better reply that
    somebody wrote at the time `corrected` (ms); `ranking` replies from best to worst. A `blocked`
    one must not be learned from.
    """

    rating: float = 0.0
    correction: str = ""
    corrected: int = 0
    ranking: tuple[str, ...] = ()
    blocked: bool = False

    @property
    def weight(self) -> float:
        """How much it weighs; 0.0 when it was disliked and not corrected."""
        return EDIT_WEIGHT if self.correction else weight_of(self.rating)

    @property
    def label(self) -> bool | None:
        """Whether the reply as it was said is a good one; None when nobody knows."""
        return None if self.rating == 0 else self.rating > 0

    def pairs(self, response: str) -> list[tuple[str, str]]:
        """The (better, worse) replies that follow: from a correction, and from a ranking.

        The best of a ranking is set against each of the others.
        """
        found: dict[tuple[str, str], None] = {}
        said = response.strip()
        if self.correction and said and self.correction != said:
            found[self.correction, said] = None
        for worse in self.ranking[1:]:
            found[self.ranking[0], worse] = None
        return list(found)


def weight_of(rating: float) -> float:
    """1.0 for an unrated reply, half a point more for each like up to 2.0, 0.0 when disliked."""
    if rating < 0:
        return 0.0
    return min(1.0 + rating / 2, MAX_WEIGHT)


def judgement_of(rows: Iterable[FeedbackRow]) -> Judgement:
    """What `rows`, the feedback of one reply, say together."""
    counting = standing(rows)
    summed = verdict(counting)
    correction = summed.correction.strip()
    written = [row.ts for row in counting if row.kind == "edit" and correction]
    rankings = [replies for row in counting if row.kind == "rank" if (replies := _replies(row))]
    return Judgement(
        rating=summed.rating,
        correction=correction,
        corrected=max(written, default=0),
        ranking=rankings[-1] if rankings else (),
        blocked=summed.blocked,
    )


def _replies(row: FeedbackRow) -> tuple[str, ...]:
    """The different replies of a ranking, best first; none if there are fewer than two."""
    try:
        ranked = msgspec.json.decode(row.text or "[]", type=list[str])
    except msgspec.DecodeError:
        return ()
    replies = tuple(dict.fromkeys(reply.strip() for reply in ranked if reply.strip()))
    return replies if len(replies) > 1 else ()
