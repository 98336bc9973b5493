"""Which rows are computed together.

Owns the order of the rows, the steps of the optimizer, and the passes a step is computed in. Does
not own tensors (`losses`).

A **step** is a fixed number of rows, so that a machine learns the same whatever it can hold. A
**pass** is what goes through the model at once: a step takes as many as it needs. On a GPU the rows
of a pass are packed end to end into one row; on a CPU, where the mask that keeps packed rows apart
costs more than it saves, rows of like length are padded.
"""

import random
from collections.abc import Sequence

import msgspec

Pass = list[int]
"""Indexes of the rows that are computed at once."""
Step = list[Pass]

_SORTED_STEPS = 8
"""Steps among which rows are sorted by length: more means less padding and less chance."""


class Shape(msgspec.Struct, frozen=True):
    """How rows are grouped: rows of a step, tokens (with padding) of a pass, packed or padded."""

    rows: int
    tokens: int
    packed: bool


def plan(lengths: Sequence[int], shape: Shape, *, epochs: int, seed: int) -> list[Step]:
    """All steps of a training over rows of these lengths; every row comes once in an epoch.

    The same arguments always give the same plan, which is what a resumed training relies on.
    """
    steps: list[Step] = []
    for epoch in range(epochs):
        chance = random.Random(f"{seed}:{epoch}")
        order = list(range(len(lengths)))
        chance.shuffle(order)
        if not shape.packed:
            order = _alike(order, lengths, shape.rows * _SORTED_STEPS)
        epoch_steps = [order[at : at + shape.rows] for at in range(0, len(order), shape.rows)]
        if not shape.packed:
            chance.shuffle(epoch_steps)
        steps += [passes(rows, lengths, shape) for rows in epoch_steps]
    return steps


def passes(rows: Sequence[int], lengths: Sequence[int], shape: Shape) -> Step:
    """`rows` in passes of at most `shape.tokens`; a longer row has one for itself."""
    longest_first = sorted(rows, key=lambda row: -lengths[row])
    if shape.packed:
        return _pack(longest_first, lengths, shape.tokens)
    step: Step = []
    for row in longest_first:
        if step and lengths[step[-1][0]] * (len(step[-1]) + 1) <= shape.tokens:
            step[-1].append(row)
        else:
            step.append([row])
    return step


def size(rows: Pass, lengths: Sequence[int], *, packed: bool) -> int:
    """The tokens that go through the model in a pass, padding included."""
    if packed:
        return sum(lengths[row] for row in rows)
    return max(lengths[row] for row in rows) * len(rows)


def _pack(rows: Sequence[int], lengths: Sequence[int], tokens: int) -> Step:
    """First fit of the longest first: at most 22 % more passes than the fewest possible."""
    step: Step = []
    room: list[int] = []
    for row in rows:
        length = lengths[row]
        for number, left in enumerate(room):
            if length <= left:
                step[number].append(row)
                room[number] -= length
                break
        else:
            step.append([row])
            room.append(tokens - length)
    return step


def _alike(order: list[int], lengths: Sequence[int], width: int) -> list[int]:
    """`order` with rows sorted by length among every `width` of them."""
    parts = (order[at : at + width] for at in range(0, len(order), width))
    return [row for part in parts for row in sorted(part, key=lambda row: lengths[row])]
