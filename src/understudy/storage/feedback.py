"""What people and the room made of the co-host's replies, and what it adds up to.

Owns reading the table `feedback` (the log writer fills it) and the rules by which its rows count.
Does not own who may judge (`learning.feedback`) nor what is learned from it.

The table is append-only. A person's newest row of a kind for an experience is the one that counts,
so a changed mind is a newer row; one of value 0 takes the judgement back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, select

from understudy.storage.engine import Database
from understudy.storage.rows import FeedbackRow
from understudy.storage.tables import feedback
from understudy.storage.upsert import storable

FeedbackKind = Literal["thumb", "edit", "rank", "note", "safety", "reward"]
"""A thumb; a better reply; replies in order; a remark; a mark that the reply must never be learned
from; what the room's reaction says (by Understudy itself)."""

VIEWERS_WEIGH = 5.0
"""What all viewers of a reply together weigh at most: as much as the streamer alone. Anybody can
bring a crowd."""

_UNVALUED = frozenset({"edit", "rank", "note", "safety"})
_KIND_NAMES = {"thumbs": "thumb"}
"""Older names of kinds that are in the table."""
_IDS = 500


class Verdict(msgspec.Struct, frozen=True):
    """What the feedback of one reply adds up to.

    `rating` is the sum of weighted values, above 0 when the reply was liked; `correction` is the
    newest better reply, empty when there is none, with its `correction_weight`; a `blocked` reply
    must not be learned from.
    """

    rating: float = 0.0
    blocked: bool = False
    correction: str = ""
    correction_weight: float = 0.0


def standing(rows: Iterable[FeedbackRow]) -> list[FeedbackRow]:
    """The rows that count, oldest first: the newest of each person and kind, unless taken back."""
    newest: dict[tuple[str, str, str, str], FeedbackRow] = {}
    for row in sorted(rows, key=lambda row: (row.ts, row.id)):
        kind = _KIND_NAMES.get(row.kind, row.kind)
        # Rows of nobody in particular are of different people for all we know.
        person = row.by or f"\0{row.id}"
        key = (row.experience, kind, row.source, person)
        newest.pop(key, None)
        newest[key] = row
    return [row for row in newest.values() if row.value]


def verdict(rows: Iterable[FeedbackRow]) -> Verdict:
    """What the feedback of one reply adds up to."""
    own = viewers = 0.0
    blocked = False
    correction: FeedbackRow | None = None
    for row in standing(rows):
        if row.kind == "safety":
            blocked = True
        elif row.kind == "edit" and row.text.strip():
            correction = row
        elif row.kind in _UNVALUED:
            continue
        elif row.source == "viewer":
            viewers += row.value * row.weight
        else:
            own += row.value * row.weight
    return Verdict(
        rating=own + max(-VIEWERS_WEIGH, min(viewers, VIEWERS_WEIGH)),
        blocked=blocked,
        correction=correction.text if correction else "",
        correction_weight=correction.weight if correction else 0.0,
    )


class FeedbackRows:
    """Reads the table `feedback`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, experience_id: str) -> list[FeedbackRow]:
        """Every row of an experience, oldest first: those that no longer count too."""
        return (await self.of([experience_id])).get(storable(experience_id), [])

    async def of(self, experience_ids: Sequence[str]) -> Mapping[str, list[FeedbackRow]]:
        """Every row of these experiences, oldest first, by the experience's id."""
        found: defaultdict[str, list[FeedbackRow]] = defaultdict(list)
        ids = list(dict.fromkeys(storable(each) for each in experience_ids))
        for start in range(0, len(ids), _IDS):
            statement = (
                select(feedback)
                .where(feedback.c.experience_id.in_(ids[start : start + _IDS]))
                .order_by(feedback.c.ts, feedback.c.id)
            )
            async with self._database.read() as connection:
                for row in (await connection.execute(statement)).all():
                    found[row.experience_id].append(_feedback(row))
        return found


def _feedback(row: Row[Any]) -> FeedbackRow:
    return FeedbackRow(
        id=row.id,
        experience=row.experience_id,
        ts=row.ts,
        kind=row.kind,
        value=row.value,
        by=row.by_user,
        note=row.note,
        source=row.source,
        weight=row.weight,
        text=row.text,
    )
