"""Sources are kept running, and what is wrong with one is said and hurts no other."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from tests.waiting import until
from understudy.events import ChatMessage, Event
from understudy.sources import runner as module
from understudy.sources.base import Publish
from understudy.sources.runner import SourceEnded, SourceRunner


class Radio:
    """A source that does in each of its runs what it was told to, then reads for ever."""

    def __init__(self, name: str, *runs: Callable[[], None]) -> None:
        self.name = name
        self.runs = 0
        self._todo = list(runs)

    async def run(self, publish: Publish) -> None:
        self.runs += 1
        if self._todo:
            self._todo.pop(0)()
            return
        await publish(
            ChatMessage(id=f"{self.name}{self.runs}", channel="c", ts=1, user="a", text="")
        )
        await asyncio.Event().wait()

    def describe(self) -> str:
        return f"What {self.name} says."

    def problems(self) -> list[str]:
        return ["it hums"] if self.name == "humming" else []


def fail(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
async def start(
    heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., SourceRunner]]:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    started: list[SourceRunner] = []

    async def publish(event: Event) -> None:
        heard.append(event)

    def begin(*sources: Radio) -> SourceRunner:
        started.append(SourceRunner(sources, publish))
        started[-1].start()
        return started[-1]

    yield begin
    for runner in started:
        await runner.close()


async def test_sources_run_side_by_side(
    start: Callable[..., SourceRunner], heard: list[Event]
) -> None:
    runner = start(Radio("one"), Radio("two"))
    await until(lambda: len(heard) == 2)
    assert [(s.name, s.description, s.running, s.problem) for s in runner.states()] == [
        ("one", "What one says.", True, ""),
        ("two", "What two says.", True, ""),
    ]
    await runner.close()
    assert [state.running for state in runner.states()] == [False, False]


async def test_sources_of_one_name_are_told_apart(
    start: Callable[..., SourceRunner], heard: list[Event]
) -> None:
    over = Radio("video", fail(SourceEnded("the first stream has ended: start the next one")))
    runner = start(over, Radio("video"), Radio("other"), Radio("video"))
    await until(lambda: len(heard) == 3 and not runner.states()[0].running)
    assert [(state.name, state.running) for state in runner.states()] == [
        ("video", False),
        ("video 2", True),
        ("other", True),
        ("video 3", True),
    ]
    assert runner.problems() == ["the first stream has ended: start the next one"]
    await runner.close()
    assert not any(state.running for state in runner.states())


async def test_one_that_breaks_down_is_started_again(
    start: Callable[..., SourceRunner], heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    broken = Radio("broken", fail(RuntimeError("bad")), fail(ValueError("worse")))
    runner = start(broken, Radio("fine"))
    with caplog.at_level(logging.ERROR):
        await until(lambda: broken.runs == 3)
    assert caplog.text.count("broken broke down") == 2
    await until(lambda: len(heard) == 2)
    assert runner.problems() == []


async def test_it_is_said_that_one_broke_down(
    start: Callable[..., SourceRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 1_000.0)
    monkeypatch.setattr(module, "LONGEST_WAIT", 100.0)
    runner = start(Radio("broken", fail(RuntimeError("bad"))))
    await until(lambda: bool(runner.problems()))
    (problem,) = runner.problems()
    assert problem.startswith("broken broke down and is started again in ")
    assert runner.states()[0].running


async def test_one_that_has_ended_for_good_is_left_alone(
    start: Callable[..., SourceRunner],
) -> None:
    over = Radio("over", fail(SourceEnded("the stream has ended: start the next one")))
    runner = start(over)
    await until(lambda: not runner.states()[0].running)
    assert runner.problems() == ["the stream has ended: start the next one"]
    assert over.runs == 1


async def test_a_sources_own_problems_are_told(start: Callable[..., SourceRunner]) -> None:
    assert start(Radio("humming"), Radio("fine")).problems() == ["it hums"]


async def test_a_source_may_come_to_its_end(start: Callable[..., SourceRunner]) -> None:
    runner = start(Radio("short", lambda: None))
    await until(lambda: not runner.states()[0].running)
    assert runner.problems() == []
