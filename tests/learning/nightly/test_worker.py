"""A job is carried out by one worker, and by the next one when that dies."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from understudy.learning.nightly.worker import Handler, JobWorker, Tell
from understudy.learning.versions.errors import VersionError
from understudy.storage.engine import Database
from understudy.storage.jobs import Job, Jobs


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    yield Jobs(database)
    await database.close()


def worker(jobs: Jobs, handler: Handler, **options: Any) -> JobWorker:
    return JobWorker(
        jobs, {"learn": handler}, expected=(VersionError,), poll_seconds=0.01, **options
    )


async def state(jobs: Jobs) -> tuple[str, Any]:
    (job,) = await jobs.recent()
    return job.state, job.result


async def test_a_job_is_done_and_its_result_kept(jobs: Jobs) -> None:
    async def handle(job: Job, tell: Tell) -> dict[str, str]:
        await tell({"step": "build"})
        return {"channel": job.args["channel"]}

    await jobs.enqueue("learn", {"channel": "ada"})
    await jobs.enqueue("other")
    assert await worker(jobs, handle).work_once() is not None
    assert await worker(jobs, handle).work_once() is None
    assert [(job.kind, job.state) for job in await jobs.recent()] == [
        ("other", "queued"),
        ("learn", "done"),
    ]


async def test_two_workers_do_not_have_the_same_job(jobs: Jobs) -> None:
    done: list[int] = []

    async def handle(job: Job, tell: Tell) -> None:
        await asyncio.sleep(0)
        done.append(job.id)

    for number in range(5):
        await jobs.enqueue("learn", {"n": number})
    workers = [worker(jobs, handle) for _ in range(3)]
    for each in workers:
        each.start()
    await until(lambda: len(done) == 5)
    for each in workers:
        await each.close()
    assert len(set(done)) == 5


async def test_a_failure_is_told_in_a_sentence(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(job: Job, tell: Tell) -> None:
        if job.args.get("ours"):
            raise KeyError("a mistake")
        raise VersionError("the base is another one: train again")

    await jobs.enqueue("learn")
    await worker(jobs, handle).work_once()
    assert await state(jobs) == ("failed", {"error": "the base is another one: train again"})
    await jobs.enqueue("learn", {"ours": True})
    await worker(jobs, handle).work_once()
    assert (await jobs.recent())[0].result == {"error": "it broke down: details are in the log"}
    assert "KeyError: 'a mistake'" in caplog.text


async def test_a_killed_workers_job_is_taken_up_again(jobs: Jobs) -> None:
    # Of a process that is gone nothing is left but its lease.
    await jobs.enqueue("learn")
    dead = await jobs.claim("dead", lease_ms=-1)
    assert dead is not None
    attempts: list[int] = []

    async def handle(job: Job, tell: Tell) -> None:
        attempts.append(job.attempts)

    await worker(jobs, handle).work_once()
    assert attempts == [2]
    assert (await state(jobs))[0] == "done"
    assert not await jobs.finish(dead)


async def test_a_worker_that_ends_gives_its_job_back(jobs: Jobs) -> None:
    began = asyncio.Event()
    ended: list[str] = []

    async def handle(job: Job, tell: Tell) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    await jobs.enqueue("learn")
    first = worker(jobs, handle)
    first.start()
    await began.wait()
    await first.close()
    assert ended == ["ended"]
    assert (await state(jobs))[0] == "queued"
    # And it is gone: nothing claims the job again.
    await asyncio.sleep(0.05)
    assert (await state(jobs))[0] == "queued"


async def test_a_lost_lease_ends_the_work(jobs: Jobs) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handle(job: Job, tell: Tell) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await jobs.enqueue("learn")
    slow = worker(jobs, handle, lease_ms=60)
    slow.start()
    await began.wait()
    # As if it had slept through its lease and another one had the job now.
    await jobs.requeue_expired(now=2**50)
    other = await jobs.claim("other", now=2**50)
    assert other is not None
    await asyncio.wait_for(ended.wait(), 10)
    await slow.close()
    assert (await jobs.recent())[0].lease_owner == "other"


async def test_progress_is_seen_while_it_runs(jobs: Jobs) -> None:
    go_on = asyncio.Event()

    async def handle(job: Job, tell: Tell) -> None:
        await tell({"step": "train"})
        await tell({"training": {"step": 3}})
        await go_on.wait()

    queued = await jobs.enqueue("learn")
    busy = worker(jobs, handle, lease_ms=30)
    busy.start()
    while True:
        job = await jobs.get(queued.id)
        if job is not None and job.progress == {"step": "train", "training": {"step": 3}}:
            break
        await asyncio.sleep(0.005)
    go_on.set()
    while (await state(jobs))[0] != "done":  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await busy.close()
