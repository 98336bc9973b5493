"""Blind comparisons: which of two unnamed replies somebody likes better.

Owns `models/<version>/preferences.jsonl`, the questions that are asked, and that nobody can tell
whose reply is whose. Does not own what follows from the answers (`gates.preference`) nor where they
are asked (the command line).
"""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from understudy.events import now_ms
from understudy.learning.evaluation.measuring import Measured, Question
from understudy.learning.gates.preference import Preferences
from understudy.learning.training.errors import reason_of
from understudy.learning.training.rows import Row
from understudy.learning.versions.errors import VersionError

PREFERENCES = "preferences.jsonl"

Preferred = Literal["version", "against", "neither"]


class BlindPair(msgspec.Struct, frozen=True):
    """Two replies to one message, which are whose only `names` says."""

    row: str
    """The id of the held-out row whose message it is."""
    message: str
    replies: tuple[str, str]
    names: tuple[Preferred, Preferred]


_IN_ORDER: tuple[Preferred, Preferred] = ("version", "against")
_SWAPPED: tuple[Preferred, Preferred] = ("against", "version")


class _Preference(msgspec.Struct):
    """A line of the file; without `against` it counts whatever the version is compared with."""

    preferred: Preferred
    against: str = ""
    row: str = ""
    ts: int = 0


async def blind_pairs(
    measured: Measured,
    version: str,
    against: str,
    rows: Sequence[Row],
    count: int,
    rng: random.Random | None = None,
) -> list[BlindPair]:
    """Up to `count` pairs of replies to drawn `rows`, in random order and on random sides.

    Rows to which both say the same are left out. Raises `BrainError`.
    """
    # Nobody may foresee the sides, so no seed is kept.
    rng = rng or random.SystemRandom()
    drawn = rng.sample(rows, min(count, len(rows)))
    questions = [
        Question(messages=[{"role": m.role, "content": m.content} for m in row.given])
        for row in drawn
    ]
    mine, theirs = await measured.answers([version, against], questions)
    pairs: list[BlindPair] = []
    for row, one, other in zip(drawn, mine, theirs, strict=True):
        if one.text.split() == other.text.split():
            continue
        name, message = str(row.meta.id), row.given[-1].content
        if rng.random() < 0.5:
            replies, names = (one.text, other.text), _IN_ORDER
        else:
            replies, names = (other.text, one.text), _SWAPPED
        pairs.append(BlindPair(name, message, replies, names))
    return pairs


def add_preference(path: Path, pair: BlindPair, preferred: Preferred, against: str) -> None:
    """Note an answer at once; raises `VersionError` when it cannot be written."""
    line = _Preference(preferred, against, pair.row, now_ms())
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
    except OSError as error:
        raise VersionError(f"{path} cannot be written ({reason_of(error)}): make room") from error


def read_preferences(path: Path, against: str) -> Preferences:
    """The comparisons with `against` in `path`, none without such a file; raises `VersionError`."""
    counts = Counter(line.preferred for line in _lines(path, against))
    return Preferences(counts["version"], counts["against"], counts["neither"])


def compared(path: Path, against: str) -> Collection[str]:
    """The rows that were compared before; raises `VersionError`."""
    return {line.row for line in _lines(path, against) if line.row}


def _lines(path: Path, against: str) -> list[_Preference]:
    if not path.is_file():
        return []
    try:
        lines = path.read_text("utf-8").splitlines()
        told = [msgspec.json.decode(line, type=_Preference) for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise VersionError(f"{path} cannot be used ({error}): correct or remove it") from None
    return [line for line in told if line.against in {"", against}]
