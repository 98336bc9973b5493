import asyncio
from collections.abc import Sequence

import pytest

from understudy.mood.bounded import MOST_TEXTS, BoundedClassifier
from understudy.mood.classifier import Sentiment
from understudy.mood.errors import MoodError


class Model:
    """Finds everything negative, fails, or never answers."""

    name = "model"

    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble
        self.asked: list[str] = []
        self.calls = 0
        self.closed = False

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        self.calls += 1
        self.asked += texts
        if self.trouble == "fails":
            raise MoodError("the model is gone")
        if self.trouble == "hangs":
            await asyncio.Event().wait()
        return [Sentiment("negative", -1.0) for _ in texts]

    async def aclose(self) -> None:
        self.closed = True


async def test_what_is_said_twice_is_asked_once() -> None:
    model = Model()
    found = await BoundedClassifier(model).label(["gg", "hi", "gg"])
    assert [sentiment.score for sentiment in found] == [-1, -1, -1]
    assert sorted(model.asked) == ["gg", "hi"]


async def test_of_many_texts_the_newest_are_asked_about() -> None:
    model = Model()
    texts = [f"love this {number}" for number in range(100)]
    found = await BoundedClassifier(model).label(texts)
    assert set(model.asked) == set(texts[-MOST_TEXTS:])
    by_words, by_model = found[:-MOST_TEXTS], found[-MOST_TEXTS:]
    assert {sentiment.label for sentiment in by_words} == {"positive"}
    assert {sentiment.label for sentiment in by_model} == {"negative"}
    assert await BoundedClassifier(model).label([]) == []


@pytest.mark.parametrize(
    ("trouble", "why"),
    [("fails", "the model is gone"), ("hangs", "model takes longer than 0.01 s")],
)
async def test_a_model_that_fails_rests(trouble: str, why: str) -> None:
    model = Model(trouble)
    bounded = BoundedClassifier(model, patience=0.01, rest=1_000)
    for _ in range(3):
        with pytest.raises(MoodError, match=why):
            await bounded.label(["gg"])
    assert model.calls == 1
    assert bounded.problem == f"the mood is read with the word lists: {why}"


async def test_after_its_rest_it_is_asked_again() -> None:
    model = Model("fails")
    bounded = BoundedClassifier(model, rest=0)
    with pytest.raises(MoodError):
        await bounded.label(["gg"])
    model.trouble = ""
    assert len(await bounded.label(["gg"])) == 1
    assert bounded.problem == ""


async def test_it_closes_the_model() -> None:
    model = Model()
    await BoundedClassifier(model).aclose()
    assert model.closed
