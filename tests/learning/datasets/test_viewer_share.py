from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.datasets.viewer_share import (
    LARGEST_SHARE,
    SMALL_ROOM,
    cap_of,
    largest_share,
    within_share,
)

COUNTS = st.lists(st.integers(1, 200), max_size=40)


def left(counts: list[int], cap: int) -> int:
    return sum(min(cap, count) for count in counts)


@given(COUNTS)
def test_nobody_has_more_than_the_share_and_a_larger_cap_would_break_it(counts: list[int]) -> None:
    rows = [(viewer, n) for viewer, count in enumerate(counts) for n in range(count)]
    kept, cap = within_share((viewer, (viewer, n)) for viewer, n in rows)
    share = largest_share(len(counts))
    taken = Counter(viewer for viewer, _ in kept)
    assert len(kept) == left(counts, cap)
    assert all(count <= share * len(kept) + 1e-9 for count in taken.values())
    if cap < max(counts, default=0):
        assert cap + 1 > share * left(counts, cap + 1)
    assert len(taken) == len(counts)


@pytest.mark.parametrize(
    ("viewers", "share"), [(0, 1), (1, 1), (2, 1), (4, 0.5), (9, 2 / 9), (10, 0.1), (500, 0.1)]
)
def test_few_viewers_may_say_more(viewers: int, share: float) -> None:
    assert largest_share(viewers) == share
    assert (share == LARGEST_SHARE) == (viewers >= SMALL_ROOM)


def test_one_loud_viewer_among_many_is_cut() -> None:
    assert cap_of({"loud": 1_000, **{f"v{n}": 10 for n in range(20)}}) == 22


def test_the_first_rows_stay_and_rows_of_nobody_always() -> None:
    loud = [("loud", n) for n in range(9)] + [(f"v{n}", 0) for n in range(10)]
    kept, cap = within_share([(None, -1), *loud, (None, -2)])
    assert cap == 1
    assert kept == [-1, 0, *[0] * 10, -2]
