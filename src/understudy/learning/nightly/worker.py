"""Takes jobs from the queue and carries them out, one at a time.

Owns the lease while a job runs: heartbeats, giving up when it is lost, and what becomes of a
failure. Does not own the queue (`storage.jobs`) nor what a job does.

Any number of processes may have a worker. Whoever claims a job first has it; when its heartbeats
stop, another one takes it up.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from understudy.events import new_id
from understudy.storage.errors import StorageError
from understudy.storage.jobs import LEASE_MS, Job, Jobs

POLL_SECONDS = 5.0

Tell = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Job, Tell], Awaitable[Any]]
"""Carries a job out, telling how far it is, and returns a JSON-able result.

It is cancelled when the lease is lost or the worker ends, and must be fit to be begun again.
"""

_log = logging.getLogger(__name__)


class JobWorker:
    """Carries out the kinds of jobs it has `handlers` for.

    Errors of the types in `expected` have a sentence for people; any other is a mistake of ours,
    whose details are in the log. Both make the job fail: nothing is tried again before somebody
    has looked, but a job whose worker died is.
    """

    def __init__(
        self,
        jobs: Jobs,
        handlers: Mapping[str, Handler],
        *,
        expected: tuple[type[Exception], ...] = (),
        owner: str = "",
        poll_seconds: float = POLL_SECONDS,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self.owner = owner or new_id(f"{socket.gethostname()}-{os.getpid()}-")
        self._jobs = jobs
        self._handlers = handlers
        self._expected = (*expected, StorageError)
        self._poll = poll_seconds
        self._lease_ms = lease_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Work from now on, in a task."""
        self._task = asyncio.create_task(self._work(), name="job worker")

    async def close(self) -> None:
        """End the task; a job under way is begun again by whoever claims it next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def work_once(self) -> Job | None:
        """Claim a job that is due and carry it out; None when none was. Raises `StorageError`."""
        await self._jobs.requeue_expired()
        lease = await self._jobs.claim(
            self.owner, kinds=list(self._handlers), lease_ms=self._lease_ms
        )
        if lease is not None:
            await self._carry_out(lease)
        return lease

    async def _work(self) -> None:
        while True:
            try:
                done = await self.work_once()
            except StorageError as error:
                _log.warning("no job can be taken: %s", error)
                done = None
            if done is None:
                await asyncio.sleep(self._poll)

    async def _carry_out(self, lease: Job) -> None:
        _log.info("job %s (%s) begins", lease.id, lease.kind)
        progress: dict[str, Any] = {}

        async def tell(facts: dict[str, Any]) -> None:
            progress.update(facts)

        handling = asyncio.ensure_future(self._handlers[lease.kind](lease, tell))
        beating = asyncio.create_task(
            self._beat(lease, progress, handling), name=f"job {lease.id} heartbeat"
        )
        try:
            await asyncio.wait([handling])
        except asyncio.CancelledError:
            # The worker itself is ended: the job need not wait until its lease has run out.
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)
            with contextlib.suppress(StorageError):
                await self._jobs.fail(lease, "its worker ended", retry_at=lease.run_at)
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await self._settle(lease, handling)

    async def _settle(self, lease: Job, handling: "asyncio.Future[Any]") -> None:
        """Put on record how a job ended."""
        if handling.cancelled():
            _log.warning("job %s was lost to another worker", lease.id)
            return
        error = handling.exception()
        if error is None:
            await self._jobs.finish(lease, handling.result())
            _log.info("job %s is done: %s", lease.id, handling.result())
        elif isinstance(error, self._expected):
            _log.warning("job %s failed: %s", lease.id, error)
            await self._jobs.fail(lease, str(error))
        else:
            _log.error("job %s failed", lease.id, exc_info=error)
            await self._jobs.fail(lease, "it broke down: details are in the log")

    async def _beat(
        self, lease: Job, progress: dict[str, Any], handling: "asyncio.Future[Any]"
    ) -> None:
        while True:
            try:
                kept = await self._jobs.heartbeat(lease, progress or None, lease_ms=self._lease_ms)
            except StorageError as error:
                _log.warning("the lease of job %s cannot be kept: %s", lease.id, error)
            else:
                if not kept:
                    handling.cancel()
                    return
            await asyncio.sleep(self._lease_ms / 3_000)
