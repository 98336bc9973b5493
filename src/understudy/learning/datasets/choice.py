"""Which of the exchanges that are fit go into a dataset.

Owns the choice: one of each group, nobody too loud, old beside new, what is held out. Works on
what little is known of each row, not on texts. Does not own what is fit (`curate`), nor the row's
side (`splits`).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from understudy.learning.datasets.replay import draw, shares_of, turn_of
from understudy.learning.datasets.store import Origins, ViewerShare
from understudy.learning.datasets.viewer_share import within_share
from understudy.storage.examples import Split

OLD_HELD_OUT = 1_000
"""Older held-out rows that are looked at again: enough to see what is forgotten."""
_WEEK_MS = 604_800_000

Row = TypeVar("Row")


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An exchange that may go into a dataset, without its text, which lies at `place`.

    `teaches` says that its reply is an example of a good one, in `group`; `label` whether the
    reply as it was said, in `said_group`, was liked (None: nobody knows); `pairs` whether better
    and worse replies are known.
    """

    id: str
    ts: int
    channel: str
    persona: str
    viewer: str
    split: Split
    group: str
    said_group: str
    teaches: bool
    weight: float
    rating: float
    label: bool | None
    pairs: bool
    old: bool
    place: tuple[int, int]

    @property
    def stratum(self) -> tuple[str, str, int, str]:
        """Rows of one kind, for replay."""
        worth = "corrected" if self.weight > 2 else "liked" if self.rating > 0 else "plain"
        return self.channel, self.persona, self.ts // _WEEK_MS, worth


class AnchorCandidate(msgspec.Struct, frozen=True):
    """An anchor row: its number in the list of anchors, its id, and its place among the splits."""

    number: int
    id: str
    group: str
    held_out: bool

    @property
    def kind(self) -> str:
        """What it is about: its id up to the number."""
        return self.id.rpartition("-")[0]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of each file of a dataset, in their order there."""

    train: list[Candidate | AnchorCandidate]
    val: list[Candidate]
    old: list[Candidate]
    anchor: list[AnchorCandidate]
    kto: list[Candidate]
    pairs: list[Candidate]
    left_out: Counter[str]
    origins: Origins
    viewer_share: ViewerShare


def choose(
    candidates: Iterable[Candidate],
    anchors: Iterable[AnchorCandidate],
    *,
    replay: float,
    anchor: float,
    seed: int,
) -> Choice:
    """Choose the rows; `replay` and `anchor` are the shares of old and anchor rows, 0 to 1."""
    left_out: Counter[str] = Counter()
    rows, anchors = list(candidates), _first_of_groups(anchors, lambda row: row.group)
    taken = {row.group for row in anchors}
    single = _best(rows, seed, taken, left_out)
    new, cap = _kept(single, "train", seed, left_out)
    val, _ = _kept(single, "val", seed, left_out)
    older = [row for row in single if row.old]
    want_old, want_anchors = shares_of(len(new), replay, anchor)
    known = [row for row in older if row.split == "train"]
    old = _drawn(known, want_old, seed)
    trained = [row for row in anchors if not row.held_out]
    chosen = draw(
        trained, want_anchors, seed, row_id=lambda row: row.id, stratum=lambda row: row.kind
    )
    train: list[Candidate | AnchorCandidate] = [*new, *old, *chosen]
    train.sort(key=lambda row: turn_of(seed, row.id))
    preferred = [row for row in rows if row.split == "train"]
    return Choice(
        train=train,
        val=_in_time(val),
        old=_in_time(_drawn([r for r in older if r.split == "val"], OLD_HELD_OUT, seed)),
        anchor=[row for row in anchors if row.held_out],
        kto=_preferred((r for r in preferred if r.label is not None), seed),
        pairs=_preferred((r for r in preferred if r.pairs), seed),
        left_out=left_out,
        origins=Origins(len(new), len(old), len(known), len(chosen)),
        viewer_share=ViewerShare(len({row.viewer for row in new if row.viewer}), cap),
    )


def _best(
    rows: Iterable[Candidate], seed: int, taken: set[str], left_out: Counter[str]
) -> list[Candidate]:
    """The row of each group that weighs most, the earliest of equals; none of groups in `taken`."""
    teaching = [row for row in rows if row.teaches]
    # A copy of what somebody corrected would teach the mistake again.
    mistakes = {row.said_group for row in teaching if row.group != row.said_group}
    known = [r for r in teaching if r.group != r.said_group or r.group not in mistakes]
    left_out["corrected"] += len(teaching) - len(known)
    teaching = known
    ordered = sorted(teaching, key=lambda row: (-row.weight, row.ts, row.id))
    best = _first_of_groups((r for r in ordered if r.group not in taken), lambda row: row.group)
    left_out["duplicate"] += len(teaching) - len(best)
    return best


def _kept(
    rows: Iterable[Candidate], split: Split, seed: int, left_out: Counter[str]
) -> tuple[list[Candidate], int]:
    """The new rows of one side that keep within each viewer's share, the weightiest first."""
    here = [row for row in rows if row.split == split and not row.old]
    here.sort(key=lambda row: (-row.weight, turn_of(seed, row.id)))
    kept, cap = within_share((row.viewer or None, row) for row in here)
    left_out["viewer_share"] += len(here) - len(kept)
    return kept, cap


def _drawn(rows: Iterable[Candidate], want: int, seed: int) -> list[Candidate]:
    return draw(rows, want, seed, row_id=lambda row: row.id, stratum=lambda row: row.stratum)


def _preferred(rows: Iterable[Candidate], seed: int) -> list[Candidate]:
    """One row of each group, the one judged most clearly, nobody too loud; in random order."""
    ordered = sorted(rows, key=lambda row: (-abs(row.rating), row.ts, row.id))
    single = _first_of_groups(ordered, lambda row: row.said_group)
    kept, _ = within_share((row.viewer or None, row) for row in single)
    return sorted(kept, key=lambda row: turn_of(seed, row.id))


def _in_time(rows: Iterable[Candidate]) -> list[Candidate]:
    return sorted(rows, key=lambda row: (row.ts, row.id))


def _first_of_groups(rows: Iterable[Row], group: Callable[[Row], str]) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(group(row), row)
    return list(first.values())
