"""How much of what is learned one viewer may say.

Owns the largest share and the rows that keep within it. Does not own which rows there are
(`curate`).

No viewer has more than 10 % of the rows, so that nobody can raise the co-host alone. Among few
viewers that cannot be: even if all had said exactly the same number of things, each of nine would
have 11 %. So with fewer than ten the limit is twice the even share, 2/V of the rows for V viewers,
and with one or two there is none. The cap c is the largest number of rows each for which
c <= share x rows left, where min(c, n) rows are left of a viewer who has n.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

LARGEST_SHARE = 0.1
SMALL_ROOM = 10
EVEN_SHARES = 2

Row = TypeVar("Row")


def largest_share(viewers: int) -> float:
    """The share of the rows one of so many viewers may have, 0 to 1."""
    if viewers >= SMALL_ROOM:
        return LARGEST_SHARE
    return min(1.0, EVEN_SHARES / viewers) if viewers else 1.0


def cap_of(rows: Mapping[Hashable, int]) -> int:
    """How many rows each viewer may keep, of the numbers of rows they have; 0 without viewers."""
    share = largest_share(len(rows))
    low, high = 0, max(rows.values(), default=0)
    # Rows left grow ever more slowly with the cap, so once it is too large it stays too large.
    while low < high:
        cap = (low + high + 1) // 2
        left = sum(min(cap, count) for count in rows.values())
        if cap <= share * left + 1e-9:
            low = cap
        else:
            high = cap - 1
    return low


def within_share(rows: Iterable[tuple[Hashable, Row]]) -> tuple[list[Row], int]:
    """The rows that stay, earlier ones before later ones, and the cap that was applied.

    `rows` are (viewer, row); those whose viewer is None count for nobody and always stay.
    """
    given = list(rows)
    cap = cap_of(Counter(viewer for viewer, _ in given if viewer is not None))
    taken: Counter[Hashable] = Counter()
    kept: list[Row] = []
    for viewer, row in given:
        taken[viewer] += 1
        if viewer is None or taken[viewer] <= cap:
            kept.append(row)
    return kept, cap
