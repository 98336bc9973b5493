"""Which of two unnamed replies is better: the questions, and the file of answers."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from understudy.learning.evaluation.blind import (
    add_preference,
    blind_pairs,
    compared,
    read_preferences,
)
from understudy.learning.evaluation.measuring import Question, Spoken
from understudy.learning.gates.preference import Preferences
from understudy.learning.training.losses import RowLoss
from understudy.learning.training.rows import Message, Row, RowMeta
from understudy.learning.versions.errors import VersionError

ROWS = [
    Row(
        prompt="",
        response="r",
        messages=[Message("system", "Be kind."), Message("user", f"question {n}")],
        meta=RowMeta(id=f"r{n}"),
    )
    for n in range(60)
]


class Echoes:
    """Answers with the version's name, except that both say the same to question 7."""

    async def losses(
        self, versions: Sequence[str], rows: Sequence[Row]
    ) -> list[list[RowLoss | None]]:
        raise AssertionError

    async def answers(
        self, versions: Sequence[str], questions: Sequence[Question]
    ) -> list[list[Spoken]]:
        said = [question.messages[-1]["content"] for question in questions]
        return [
            [Spoken("same" if text == "question 7" else f"{name}: {text}", False) for text in said]
            for name in versions
        ]


async def test_sides_are_drawn_and_names_go_with_them() -> None:
    pairs = await blind_pairs(Echoes(), "all@2", "base", ROWS, 100, random.Random(1))
    assert {pair.row for pair in pairs} == {row.meta.id for row in ROWS} - {"r7"}
    for pair in pairs:
        for reply, name in zip(pair.replies, pair.names, strict=True):
            speaker = {"version": "all@2", "against": "base"}[name]
            assert reply == f"{speaker}: {pair.message}"
    firsts = [pair.names[0] for pair in pairs]
    assert 15 < firsts.count("version") < 45
    assert len(await blind_pairs(Echoes(), "all@2", "base", ROWS[:7], 5)) == 5


async def test_answers_count_for_the_version_they_were_given_against(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    assert read_preferences(path, "base") == Preferences()
    pairs = await blind_pairs(Echoes(), "all@2", "base", ROWS[:4], 4)
    for pair, said in zip(pairs, ("version", "version", "against", "neither"), strict=True):
        add_preference(path, pair, said, "base")
    add_preference(path, pairs[0], "against", "all@1")
    with path.open("a") as file:
        file.write('\n{"preferred": "neither", "by": "a judge"}\n')
    assert read_preferences(path, "base") == Preferences(2, 1, 2)
    assert read_preferences(path, "all@1") == Preferences(0, 1, 1)
    assert compared(path, "base") == {pair.row for pair in pairs}
    assert compared(path, "all@1") == {pairs[0].row}
    with pytest.raises(VersionError, match="cannot be written"):
        add_preference(tmp_path, pairs[0], "version", "base")
