"""The interval of a difference of losses."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.gates.bootstrap import PairedLoss, difference

losses = st.builds(
    PairedLoss,
    session=st.sampled_from("abcdef"),
    tokens=st.integers(1, 50),
    new=st.floats(0, 200),
    old=st.floats(0, 200),
)


@given(st.lists(losses, min_size=1, max_size=40))
def test_the_interval_is_the_same_in_any_order_and_holds_its_bounds(rows: list[PairedLoss]) -> None:
    found = difference(rows, draws=100)
    assert difference(rows[::-1], draws=100).upper == pytest.approx(found.upper)
    assert found.lower <= found.upper
    assert found.change == pytest.approx(found.new - found.old)
    assert found.tokens == sum(row.tokens for row in rows)


@given(st.lists(losses, min_size=1, max_size=40))
def test_equal_versions_do_not_differ(rows: list[PairedLoss]) -> None:
    same = [PairedLoss(row.session, row.tokens, row.new, row.new) for row in rows]
    found = difference(same, draws=50)
    assert (found.change, found.lower, found.upper) == (0, 0, 0)


def test_losses_are_per_token_and_long_rows_count_more() -> None:
    rows = [PairedLoss("a", 90, 90.0, 180.0), PairedLoss("b", 10, 30.0, 10.0)]
    found = difference(rows)
    assert (found.new, found.old) == (1.2, 1.9)
    assert (found.rows, found.tokens, found.sessions) == (2, 100, 2)


def test_one_session_says_nothing_about_others() -> None:
    # All the gain is in one session of eight: a bootstrap over rows would call that certain.
    rows = [PairedLoss("lucky", 10, 5.0, 20.0) for _ in range(60)]
    rows += [PairedLoss(f"s{n}", 10, 20.0, 19.0) for n in range(7) for _ in range(10)]
    found = difference(rows)
    assert found.change < 0
    assert found.upper > 0


def test_the_interval_misses_about_as_often_as_it_should() -> None:
    missed = 0
    for seed in range(60):
        chance = random.Random(seed)
        rows = [
            PairedLoss(f"s{session}", 20, 30 + 20 * (effect + chance.gauss(0, 0.1)), 30.0)
            for session in range(25)
            for effect in [chance.gauss(0, 0.3)]
            for _ in range(4)
        ]
        found = difference(rows, draws=300)
        missed += not found.lower <= 0 <= found.upper
    assert missed <= 9


def test_nothing_to_compare_is_told() -> None:
    with pytest.raises(ValueError, match="no token to compare"):
        difference([])
