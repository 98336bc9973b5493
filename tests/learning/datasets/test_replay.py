import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.datasets.replay import draw, shares_of, turn_of


def drawn(rows: list[tuple[int, int]], want: int, seed: int) -> list[tuple[int, int]]:
    return draw(
        rows, want, seed, row_id=lambda row: f"{row[0]}-{row[1]}", stratum=lambda row: row[1]
    )


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 4)), max_size=60, unique=True),
    st.integers(0, 70),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_the_draw_hangs_on_the_seed_alone_and_serves_strata_alike(
    rows: list[tuple[int, int]], want: int, seed: int, rng: random.Random
) -> None:
    chosen = drawn(rows, want, seed)
    shuffled = rng.sample(rows, len(rows))
    assert drawn(shuffled, want, seed) == chosen
    assert len(chosen) == min(want, len(rows))
    assert set(chosen) <= set(rows)
    there, taken = Counter(row[1] for row in rows), Counter(row[1] for row in chosen)
    if taken:
        most = max(taken.values())
        assert all(taken[s] >= min(there[s], most - 1) for s in there)


def test_a_larger_draw_holds_the_smaller_one() -> None:
    rows = [(number, number % 3) for number in range(200)]
    assert set(drawn(rows, 20, 1)) < set(drawn(rows, 50, 1))
    assert drawn(rows, 20, 1) != drawn(rows, 20, 2)
    assert turn_of(1, "a") != turn_of(2, "a")


@pytest.mark.parametrize(
    ("new", "replay", "anchor", "old", "anchors"),
    [(700, 0.25, 0.05, 250, 50), (10, 0, 0, 0, 0), (0, 0.25, 0.05, 0, 0), (45, 0.5, 0.05, 50, 5)],
)
def test_shares_are_of_the_whole(
    new: int, replay: float, anchor: float, old: int, anchors: int
) -> None:
    assert shares_of(new, replay, anchor) == (old, anchors)
