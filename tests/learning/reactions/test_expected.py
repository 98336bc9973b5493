"""The expectation: solving, fitting, shrinking, forgetting."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.reactions.expected import Expectation, Fit, solve

NUMBERS = st.floats(-3, 3)


@given(st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=4, max_size=4), st.data())
def test_a_positive_definite_system_is_solved(rows: list[list[float]], data: st.DataObject) -> None:
    size = range(4)
    matrix = [[sum(rows[k][i] * rows[k][j] for k in size) + (i == j) for j in size] for i in size]
    wanted = [data.draw(NUMBERS) for _ in size]
    goal = [sum(matrix[i][j] * wanted[j] for j in size) for i in size]
    assert solve(matrix, goal) == pytest.approx(wanted, abs=1e-6)


def test_a_fit_finds_the_line_and_what_is_left() -> None:
    rng = random.Random(1)
    fit = Fit(2, {"laugh": 0.3})
    for _ in range(2_000):
        x = rng.random() * 4
        fit.add([1.0, x], {"laugh": 0.5 + 0.3 * x + rng.gauss(0, 0.2)})
    found = fit.coefficients("laugh", [0.0, 0.0], 1.0)
    assert found == pytest.approx([0.5, 0.3], abs=0.05)
    assert fit.spread("laugh", found) == pytest.approx(0.2, abs=0.03)


def test_a_small_channel_leans_on_all_of_them() -> None:
    rng = random.Random(1)
    expectation = Expectation(2, {"laugh": 0.5})
    nothing = expectation.guess("small", [1.0, 1.0])["laugh"]
    assert (nothing.mean, nothing.spread) == (0.0, 0.5)
    assert expectation.weight("small") == 0
    for _ in range(400):
        x = rng.random() * 2
        expectation.learn("big", [1.0, x], {"laugh": x + rng.gauss(0, 0.1)})
    assert expectation.guess("small", [1.0, 1.5])["laugh"].mean == pytest.approx(1.5, abs=0.1)
    for _ in range(100):
        expectation.learn("small", [1.0, 1.5], {"laugh": 0.2})
    assert expectation.guess("small", [1.0, 1.5])["laugh"].mean == pytest.approx(0.2, abs=0.1)
    assert expectation.guess("big", [1.0, 1.5])["laugh"].mean == pytest.approx(1.5, abs=0.1)


def test_what_is_long_ago_fades() -> None:
    expectation = Expectation(1, {"laugh": 0.5})
    for value in (1.0, 0.0):
        for _ in range(2_000):
            expectation.learn("a", [1.0], {"laugh": value})
    assert expectation.guess("a", [1.0])["laugh"].mean < 0.05


def test_channels_unused_for_longest_are_forgotten() -> None:
    expectation = Expectation(1, {"laugh": 0.5}, channels=2)
    for name in ("a", "b", "a", "c"):
        expectation.learn(name, [1.0], {"laugh": 1.0}, weight=10.0)
    assert expectation.weight("a") > 15
    assert expectation.weight("b") < 10
