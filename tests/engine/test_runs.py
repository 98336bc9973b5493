"""A run as its readers see it; how `Turns` makes one is tested in `test_turns`."""

import asyncio

import pytest

from understudy.engine.runs import DoneFrame, ErrorFrame, Run, TokenFrame
from understudy.events import Reply


def reply(run: Run) -> Reply:
    return Reply(
        id="r",
        channel="",
        ts=0,
        turn=run.id,
        session=run.session,
        user="u",
        text=run.text(),
        status="complete",
        model="m",
        persona="p",
    )


def working() -> "asyncio.Task[None]":
    async def work() -> None:
        await asyncio.Event().wait()

    return asyncio.create_task(work())


async def ended(task: "asyncio.Task[None]") -> bool:
    await asyncio.wait([task])
    return task.cancelled()


async def test_a_finished_run_has_its_reply_and_one_end_frame() -> None:
    run = Run("run_1", "s", grace=None)
    run.log.append(TokenFrame("hel"))
    run.log.append(TokenFrame("lo"))
    run.finish(reply(run), DoneFrame("r", {}, "complete"))
    assert (await run.result()).text == "hello"
    assert [type(frame) for _, frame in run.log.after(0)] == [TokenFrame, TokenFrame, DoneFrame]
    assert not run.stop()


async def test_a_run_that_could_not_be_concluded_says_so() -> None:
    run = Run("run_1", "s", grace=None)
    run.abort("it broke")
    assert run.log.after(0) == [(1, ErrorFrame("it broke", retryable=True))]
    with pytest.raises(RuntimeError, match="run_1 ended without a reply"):
        await run.result()


async def test_the_first_stop_counts() -> None:
    run = Run("run_1", "s", grace=None)
    task = working()
    run.own(task)
    assert run.stop("replaced")
    assert not run.stop("stopped")
    assert run.stop_status == "replaced"
    assert await ended(task)
    assert not Run("run_2", "s", grace=None).stop_status


async def test_a_stop_before_the_work_began_ends_the_work_when_it_begins() -> None:
    run = Run("run_1", "s", grace=None)
    assert run.stop("stopped")
    task = working()
    run.own(task)
    assert await ended(task)


async def test_a_reply_that_is_being_stored_is_not_stopped() -> None:
    run = Run("run_1", "s", grace=None)
    task = asyncio.create_task(asyncio.sleep(0))
    run.own(task)
    await task
    assert not run.stop()
    assert run.stop_status is None


async def test_only_the_last_reader_to_leave_starts_the_grace_time() -> None:
    run = Run("run_1", "s", grace=0)
    task = working()
    run.own(task)
    with run.reading():
        with run.reading():
            pass
        await asyncio.sleep(0)
        assert run.stop_status is None
    assert await ended(task)
    assert run.stop_status == "abandoned"


async def test_an_ended_run_does_not_wait_for_readers() -> None:
    run = Run("run_1", "s", grace=0)
    with run.reading():
        run.finish(reply(run), DoneFrame("r", {}, "complete"))
    await asyncio.sleep(0)
    assert run.stop_status is None
