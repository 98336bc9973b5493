from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.training.packing import Shape, passes, plan, size

lengths = st.lists(st.integers(2, 300), min_size=1, max_size=80)
shapes = st.builds(Shape, st.integers(1, 20), st.integers(16, 600), st.booleans())


@given(lengths, shapes, st.integers(1, 3), st.integers(0, 5))
def test_every_row_comes_once_in_an_epoch(
    lengths: list[int], shape: Shape, epochs: int, seed: int
) -> None:
    steps = plan(lengths, shape, epochs=epochs, seed=seed)
    rows = [list(chain.from_iterable(step)) for step in steps]
    per_epoch = -(-len(lengths) // shape.rows)
    assert len(steps) == per_epoch * epochs
    for epoch in range(epochs):
        part = rows[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(chain.from_iterable(part)) == list(range(len(lengths)))
    assert all(len(step) <= shape.rows for step in rows)
    assert plan(lengths, shape, epochs=epochs, seed=seed) == steps


@given(lengths, shapes)
def test_a_pass_holds_what_it_may(lengths: list[int], shape: Shape) -> None:
    for rows in passes(range(len(lengths)), lengths, shape):
        taken = size(rows, lengths, packed=shape.packed)
        assert taken <= shape.tokens or len(rows) == 1
        assert taken >= sum(lengths[row] for row in rows)


def test_another_seed_is_another_order() -> None:
    lengths, shape = list(range(2, 60)), Shape(4, 100, packed=True)
    assert plan(lengths, shape, epochs=1, seed=1) != plan(lengths, shape, epochs=1, seed=2)
    first, second = plan(lengths, shape, epochs=2, seed=1)[::15][:2]
    assert first != second


def test_rows_of_like_length_are_padded_together() -> None:
    lengths = [10, 500] * 64
    steps = plan(lengths, Shape(16, 100_000, packed=False), epochs=1, seed=0)
    computed = sum(size(rows, lengths, packed=False) for step in steps for rows in step)
    assert computed < sum(lengths) * 1.1
