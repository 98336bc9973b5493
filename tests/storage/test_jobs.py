"""The job queue, in SQLite and PostgreSQL."""

import asyncio

import pytest

from understudy.storage.engine import Database
from understudy.storage.jobs import Job, Jobs


async def test_a_job_is_claimed_worked_on_and_finished(any_database: Database) -> None:
    jobs = Jobs(any_database)
    queued = await jobs.enqueue("train", {"base": "tiny", "steps": 3}, now=100)
    assert (queued.state, queued.run_at, queued.attempts) == ("queued", 100, 0)
    lease = await jobs.claim("w1", lease_ms=50, now=100)
    assert lease is not None
    assert (lease.id, lease.args) == (queued.id, {"base": "tiny", "steps": 3})
    assert (lease.state, lease.lease_owner, lease.lease_until, lease.attempts) == (
        ("running", "w1", 150, 1)
    )
    assert await jobs.heartbeat(lease, {"step": 2}, lease_ms=50, now=120)
    assert await jobs.heartbeat(lease, lease_ms=50, now=140)
    running = await jobs.get(queued.id)
    assert running is not None
    assert (running.lease_until, running.progress) == (190, {"step": 2})
    assert await jobs.finish(lease, {"loss": 0.5})
    done = await jobs.get(queued.id)
    assert done is not None
    assert (done.state, done.result) == ("done", {"loss": 0.5})
    assert not await jobs.finish(lease)
    assert not await jobs.heartbeat(lease)


async def test_there_is_nothing_to_claim_before_its_time(any_database: Database) -> None:
    jobs = Jobs(any_database)
    assert await jobs.claim("w1") is None
    await jobs.enqueue("train", run_at=200, now=100)
    assert await jobs.claim("w1", now=199) is None
    assert await jobs.claim("w1", now=200) is not None
    assert await jobs.claim("w1", now=200) is None


async def test_the_job_due_longest_comes_first(any_database: Database) -> None:
    jobs = Jobs(any_database)
    for kind, run_at in [("late", 30), ("early", 10), ("early too", 10)]:
        await jobs.enqueue(kind, run_at=run_at)
    claimed = [await jobs.claim("w1", now=50) for _ in range(3)]
    assert [job.kind for job in claimed if job] == ["early", "early too", "late"]


async def test_a_worker_takes_only_the_kinds_it_knows(any_database: Database) -> None:
    jobs = Jobs(any_database)
    await jobs.enqueue("train", now=1)
    assert await jobs.claim("w1", kinds=["export"]) is None
    assert await jobs.claim("w1", kinds=[]) is None
    assert await jobs.claim("w1", kinds=["export", "train"]) is not None


async def test_a_dedupe_key_queues_one_job_ever(any_database: Database) -> None:
    jobs = Jobs(any_database)
    queued = await asyncio.gather(
        *[jobs.enqueue("train", {"node": n}, dedupe_key="train:2026-W47") for n in range(5)]
    )
    assert len({job.id for job in queued}) == 1
    assert len(await jobs.recent()) == 1
    lease = await jobs.claim("w1")
    assert lease is not None
    await jobs.finish(lease)
    again = await jobs.enqueue("train", dedupe_key="train:2026-W47")
    assert (again.id, again.state) == (queued[0].id, "done")


async def test_jobs_without_a_dedupe_key_are_all_queued(any_database: Database) -> None:
    jobs = Jobs(any_database)
    await jobs.enqueue("train")
    await jobs.enqueue("export")
    await jobs.enqueue("train")
    assert [job.kind for job in await jobs.recent()] == ["train", "export", "train"]
    assert len(await jobs.recent("train")) == 2
    assert len(await jobs.recent(limit=1)) == 1
    assert await jobs.get(999) is None


async def test_no_job_is_claimed_twice_by_many_claimers(any_database_url: str) -> None:
    # Two open databases stand for two processes.
    databases = [await Database.open(any_database_url) for _ in range(2)]
    try:
        for number in range(20):
            await Jobs(databases[0]).enqueue("work", {"n": number})

        async def work(name: str, jobs: Jobs) -> list[int]:
            done: list[int] = []
            while lease := await jobs.claim(name):
                assert await jobs.finish(lease)
                done.append(lease.id)
            return done

        shares = await asyncio.gather(*[work(f"w{n}", Jobs(databases[n % 2])) for n in range(6)])
    finally:
        for database in databases:
            await database.close()
    claimed = [job for share in shares for job in share]
    assert len(claimed) == len(set(claimed)) == 20


async def test_an_expired_lease_goes_back_to_the_queue(any_database: Database) -> None:
    jobs = Jobs(any_database)
    await jobs.enqueue("train", now=0)
    lost = await jobs.claim("w1", lease_ms=50, now=0)
    assert lost is not None
    assert await jobs.requeue_expired(now=50) == 0
    assert await jobs.requeue_expired(now=51) == 1
    # The very same worker, woken up again, holds a new lease; its old one is void.
    lease = await jobs.claim("w1", now=60)
    assert lease is not None
    assert (lease.id, lease.attempts) == (lost.id, 2)
    assert not await jobs.heartbeat(lost)
    assert not await jobs.finish(lost, "stale")
    assert not await jobs.fail(lost, "stale")
    assert await jobs.finish(lease, "fresh")
    done = await jobs.get(lease.id)
    assert done is not None
    assert done.result == "fresh"


async def test_a_job_whose_workers_keep_dying_fails(any_database: Database) -> None:
    jobs = Jobs(any_database)
    job = await jobs.enqueue("train", now=0)
    for attempt in range(2):
        assert await jobs.claim("w1", lease_ms=1, now=attempt * 10) is not None
        assert await jobs.requeue_expired(max_attempts=2, now=attempt * 10 + 5) == 1
    assert await jobs.claim("w1", now=100) is None
    failed = await jobs.get(job.id)
    assert failed is not None
    assert failed.state == "failed"
    assert "look at its log" in failed.result["error"]


@pytest.mark.parametrize(("retry_at", "state"), [(None, "failed"), (500, "queued")])
async def test_a_failure_is_final_unless_it_is_to_be_retried(
    any_database: Database, retry_at: int | None, state: str
) -> None:
    jobs = Jobs(any_database)
    await jobs.enqueue("train", now=0)
    lease = await jobs.claim("w1", now=0)
    assert lease is not None
    assert await jobs.fail(lease, "The disk is full.", retry_at=retry_at)
    failed = await jobs.get(lease.id)
    assert failed is not None
    assert (failed.state, failed.result) == (state, {"error": "The disk is full."})
    assert await jobs.claim("w1", now=499) is None
    retried: Job | None = await jobs.claim("w1", now=500)
    assert (retried is not None) == (retry_at is not None)
