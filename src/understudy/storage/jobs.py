"""Work to be done once by one of possibly many processes: a queue with leases.

Owns the table `job`. Does not own what a job does, nor the clock that queues it (`learning`).

A claim is a lease: the worker extends it by heartbeats, and when they stop the job goes back to
the queue. Each claim counts up `attempts`, so a worker that lost its lease (it slept, it was cut
off) cannot touch the job any more, even when a worker of the same name holds it again.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Row, case, select, update

from understudy.events import now_ms
from understudy.storage.engine import Database
from understudy.storage.tables import job
from understudy.storage.upsert import insert, storable

LEASE_MS = 60_000
MAX_ATTEMPTS = 3

JobState = Literal["queued", "running", "done", "failed"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work; times in ms. A job that was claimed is also the lease on it.

    `progress` is what the last heartbeat said, `result` what `finish` was given; a job that
    failed has the result `{"error": sentence}`.
    """

    id: int
    kind: str
    args: dict[str, Any]
    run_at: int
    dedupe_key: str | None
    state: JobState
    lease_owner: str
    lease_until: int
    attempts: int
    progress: Any
    result: Any
    created: int


class Jobs:
    """Queues, claims and finishes jobs. `now` stands in for the wall clock, in ms."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(
        self,
        kind: str,
        args: dict[str, Any] | None = None,
        *,
        run_at: int | None = None,
        dedupe_key: str | None = None,
        now: int | None = None,
    ) -> Job:
        """Queue a job to run at `run_at` (at once when None) and return it.

        With a `dedupe_key` that was ever used, nothing is queued and that job is returned.
        """
        created = now_ms() if now is None else now
        key = None if dedupe_key is None else storable(dedupe_key)
        values = {
            "kind": storable(kind),
            "args": _json(args or {}),
            "run_at": created if run_at is None else run_at,
            "dedupe_key": key,
            "created": created,
        }
        statement = (
            insert(self._database.dialect, job)
            .values(values)
            .on_conflict_do_nothing(index_elements=["dedupe_key"])
            .returning(*job.c)
        )
        async with self._database.write() as connection:
            row = (await connection.execute(statement)).one_or_none()
            if row is None:
                row = (await connection.execute(select(job).where(job.c.dedupe_key == key))).one()
        return _job(row)

    async def claim(
        self,
        owner: str,
        *,
        kinds: Sequence[str] | None = None,
        lease_ms: int = LEASE_MS,
        now: int | None = None,
    ) -> Job | None:
        """Take the job that is due longest, of one of `kinds` when given; None when none is due."""
        moment = now_ms() if now is None else now
        due = (
            select(job.c.id)
            .where(job.c.state == "queued", job.c.run_at <= moment)
            .order_by(job.c.run_at, job.c.id)
            .limit(1)
            # PostgreSQL: several claimers each lock another row. SQLite writes take turns anyway.
            .with_for_update(skip_locked=True)
        )
        if kinds is not None:
            due = due.where(job.c.kind.in_(kinds))
        statement = (
            update(job)
            .where(job.c.id == due.scalar_subquery())
            .values(
                state="running",
                lease_owner=storable(owner),
                lease_until=moment + lease_ms,
                attempts=job.c.attempts + 1,
                progress="",
                result="",
            )
            .returning(*job.c)
        )
        async with self._database.write() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _job(row)

    async def heartbeat(
        self,
        lease: Job,
        progress: Any = None,
        *,
        lease_ms: int = LEASE_MS,
        now: int | None = None,
    ) -> bool:
        """Extend the lease, note progress (JSON-able) if any; False when the lease is lost."""
        moment = now_ms() if now is None else now
        values = {} if progress is None else {"progress": _json(progress)}
        return await self._update(lease, lease_until=moment + lease_ms, **values)

    async def finish(self, lease: Job, result: Any = None) -> bool:
        """Mark the job as done with its result (JSON-able); False when the lease is lost."""
        return await self._update(lease, state="done", result=_json(result))

    async def fail(self, lease: Job, error: str, *, retry_at: int | None = None) -> bool:
        """Fail the job, or queue it again for `retry_at` (ms); False when the lease is lost."""
        result = _json({"error": error})
        if retry_at is None:
            return await self._update(lease, state="failed", result=result)
        return await self._update(lease, state="queued", run_at=retry_at, result=result)

    async def requeue_expired(
        self, *, max_attempts: int = MAX_ATTEMPTS, now: int | None = None
    ) -> int:
        """Queue jobs whose workers fell silent again; how many there were.

        One that was attempted `max_attempts` times fails instead: it may be what kills them.
        """
        moment = now_ms() if now is None else now
        gave_up = job.c.attempts >= max_attempts
        error = _json({"error": "the worker fell silent too often: look at its log"})
        statement = (
            update(job)
            .where(job.c.state == "running", job.c.lease_until < moment)
            .values(
                state=case((gave_up, "failed"), else_="queued"),
                result=case((gave_up, error), else_=""),
            )
            .returning(job.c.id)
        )
        async with self._database.write() as connection:
            return len((await connection.execute(statement)).all())

    async def get(self, job_id: int) -> Job | None:
        """The job with this id, or None."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(job).where(job.c.id == job_id))).one_or_none()
        return None if row is None else _job(row)

    async def recent(self, kind: str | None = None, *, limit: int = 50) -> list[Job]:
        """The jobs queued last, newest first, of one kind when given."""
        statement = select(job).order_by(job.c.id.desc()).limit(max(limit, 0))
        if kind is not None:
            statement = statement.where(job.c.kind == storable(kind))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [_job(row) for row in rows]

    async def _update(self, lease: Job, **values: Any) -> bool:
        held: ColumnElement[bool] = (
            (job.c.id == lease.id)
            & (job.c.state == "running")
            & (job.c.lease_owner == lease.lease_owner)
            & (job.c.attempts == lease.attempts)
        )
        statement = update(job).where(held).values(values).returning(job.c.id)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).one_or_none() is not None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        args=msgspec.json.decode(row.args),
        run_at=row.run_at,
        dedupe_key=row.dedupe_key,
        state=row.state,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        attempts=row.attempts,
        progress=msgspec.json.decode(row.progress or "null"),
        result=msgspec.json.decode(row.result or "null"),
        created=row.created,
    )
