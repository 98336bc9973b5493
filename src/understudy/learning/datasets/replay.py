"""Old exchanges that are trained on again, so that the new ones do not push them out.

Owns how many and which. Does not own what is old (`builder`).

Rows are drawn by strata (channel, persona, week, how they were judged) that count alike, whatever
their size: the one week of a rare persona is kept alive beside months of the usual one. Each row's
turn is a hash of the seed and its id, which makes the draw a reservoir sample that does not depend
on the order rows come in.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Row = TypeVar("Row")


def turn_of(seed: int, row_id: str) -> bytes:
    """The place of a row in a random order that only the seed decides."""
    return hashlib.blake2b(f"{seed}/{row_id}".encode("utf-8", "replace"), digest_size=8).digest()


def shares_of(new: int, replay: float, anchor: float) -> tuple[int, int]:
    """How many old and anchor rows go with `new` rows to make these shares of the whole."""
    whole = new / (1 - replay - anchor)
    return round(whole * replay), round(whole * anchor)


def draw(
    rows: Iterable[Row],
    want: int,
    seed: int,
    *,
    row_id: Callable[[Row], str],
    stratum: Callable[[Row], Hashable],
) -> list[Row]:
    """At most `want` rows, from every stratum alike as far as it has them, in order of turns."""
    strata: dict[Hashable, list[tuple[bytes, str, Row]]] = defaultdict(list)
    for row in rows:
        id = row_id(row)
        strata[stratum(row)].append((turn_of(seed, id), id, row))
    drawn: list[tuple[int, bytes, str, Row]] = []
    for entries in strata.values():
        entries.sort(key=lambda entry: entry[:2])
        # The first of every stratum, then the second of every one, and so on.
        drawn += [(depth, turn, id, row) for depth, (turn, id, row) in enumerate(entries[:want])]
    drawn.sort(key=lambda entry: entry[:3])
    chosen = [(turn, id, row) for _, turn, id, row in drawn[:want]]
    chosen.sort(key=lambda entry: entry[:2])
    return [row for *_, row in chosen]
