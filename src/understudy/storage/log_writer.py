"""The durable log: rows go in from anywhere, and are acknowledged once they are on the disk.

Owns the queue, the grouping of rows into commits, acknowledgements, back-pressure, and what is
done when the database refuses. Does not own SQL (`storage.log_sql`) or connections
(`storage.log_store`).

Group commit without a timer: while one transaction syncs to the disk, whatever arrives queues up
and becomes the next. A quiet log commits row by row at once; a busy one commits thousands of rows
per sync. Every row is stored once however often it is handed in, by the unique key of its table.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from sqlalchemy.exc import DBAPIError

from understudy.events import now_ms
from understudy.storage.engine import Database, explain
from understudy.storage.errors import LogUnavailable, StorageError
from understudy.storage.log_sql import Planner, Step
from understudy.storage.log_store import open_store
from understudy.storage.rows import LogRow

BATCH_ROWS = 2_000
"""Most rows of one transaction: keeps a commit, and so an acknowledgement, short."""

_FIRST_RETRY_S = 0.05
_LAST_RETRY_S = 1.0
_log = logging.getLogger(__name__)

Entry = tuple[LogRow, asyncio.Future[None] | None]


class LogStats(msgspec.Struct, frozen=True, kw_only=True):
    """Rows waiting, stored, skipped as already stored, and set aside; the trouble, if any."""

    queued: int
    committed: int
    duplicates: int
    parked: int
    last_error: str | None


class LogWriter:
    """Writes rows to the database in groups. `start` it before use, `close` it at the end.

    `queue_rows` bounds the rows not yet durable, `ack_timeout` (seconds) how long `append` and
    `submit` leave a caller without an answer. A row that was answered with `LogUnavailable` stays
    queued and may still be written later; handing it in again does no harm.
    """

    def __init__(
        self, database: Database, *, queue_rows: int = 20_000, ack_timeout: float = 5.0
    ) -> None:
        self._database = database
        self._store = open_store(database)
        self._planner = Planner(database.dialect)
        self._limit = queue_rows
        self._ack_timeout = ack_timeout
        self._queue: deque[Entry] = deque()
        self._accepted = self._settled = 0
        self._committed = self._duplicates = self._parked = 0
        self._trouble: StorageError | None = None
        self._failing_since = 0.0
        self._acks = _Deadlines(ack_timeout, self._unanswered)
        self._flushes: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def stats(self) -> LogStats:
        """Counts since the start, and why rows are not being stored right now."""
        return LogStats(
            queued=self._accepted - self._settled,
            committed=self._committed,
            duplicates=self._duplicates,
            parked=self._parked,
            last_error=str(self._trouble) if self._trouble else None,
        )

    async def start(self) -> None:
        """Begin to write; rows handed in before are kept until then."""
        self._task = asyncio.create_task(self._run(), name="log-writer")

    async def close(self, within: float = 10.0) -> None:
        """Write what is queued, taking at most `within` seconds, then stop.

        Raises `LogUnavailable`, after everything is closed, when rows had to be given up.
        """
        if self._closing:
            return
        self._closing = True
        self._arrived.set()
        self._room.set()
        try:
            await self._finish(within)
        finally:
            self._acks.close()
            await self._store.close()
        lost = self._accepted - self._settled
        if lost:
            reason = self._trouble or "the log was closed before they could be"
            raise LogUnavailable(f"{lost} rows were not stored: {reason}")

    def submit(self, row: LogRow) -> asyncio.Future[None]:
        """Queue `row`; the future is done once it is durable, or has failed as `append` does.

        Raises `LogUnavailable` at once when the queue is full or the log is closed.
        """
        self._refuse_if_closing()
        if self._full:
            behind = f"the log is {self._limit} rows behind the disk: try again in a moment"
            raise LogUnavailable(str(self._trouble or behind))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue((row, done))
        self._acks.watch(done)
        return done

    async def append(self, row: LogRow) -> None:
        """Return once `row` is durable; waits for room while the queue is full.

        Raises `LogUnavailable` when that takes longer than the acknowledgement timeout, or at once
        when the log is failing and the queue is full, and `StorageError` when the database refuses
        this very row, which is then kept in `dead_letter`.
        """
        if self._full:
            try:
                async with asyncio.timeout(self._ack_timeout):
                    await self._wait_for_room()
            except TimeoutError:
                raise self._unanswered() from None
        await self.submit(row)

    async def put(self, row: LogRow) -> None:
        """Queue `row`, waiting for room but not for the disk.

        Raises `LogUnavailable` when the log is failing and the queue is full, or it is closed.
        """
        self._refuse_if_closing()
        if self._full:
            await self._wait_for_room()
        self._enqueue((row, None))

    async def flushed(self) -> None:
        """Return once every row queued so far is durable or parked.

        Raises `LogUnavailable` when the log fails meanwhile and does not recover within the
        acknowledgement timeout, or ends first.
        """
        if self._accepted == self._settled:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushes.append((self._accepted, done))
        await done

    async def _finish(self, within: float) -> None:
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=within)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        while self._flushes:
            _fail(self._flushes.popleft()[1], self._unanswered())

    @property
    def _full(self) -> bool:
        return self._accepted - self._settled >= self._limit

    def _enqueue(self, entry: Entry) -> None:
        self._queue.append(entry)
        self._accepted += 1
        self._arrived.set()

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise LogUnavailable("the log is closed: nothing more can be stored")

    async def _wait_for_room(self) -> None:
        while self._full:
            if self._trouble is not None:
                raise LogUnavailable(str(self._trouble))
            self._room.clear()
            await self._room.wait()
            self._refuse_if_closing()

    def _unanswered(self) -> LogUnavailable:
        reason = self._trouble or f"the disk took longer than {self._ack_timeout:g} s"
        return LogUnavailable(f"the row is not stored yet: {reason}")

    async def _run(self) -> None:
        while True:
            if self._queue:
                size = min(len(self._queue), BATCH_ROWS)
                await self._settle([self._queue.popleft() for _ in range(size)])
            elif self._closing:
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _settle(self, batch: Sequence[Entry]) -> None:
        """Store `batch`, or find the rows in it that the database refuses and park those."""
        refusal = await self._store_batch(batch)
        if refusal is not None:
            # A viewer erased meanwhile is the usual cause: all names are looked up again.
            self._planner.forget_names()
            refusal = await self._store_batch(batch)
        if refusal is None:
            self._acknowledge(batch)
        elif len(batch) == 1:
            await self._park(batch[0], refusal)
        else:
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])

    async def _store_batch(self, batch: Sequence[Entry]) -> Exception | None:
        """Store `batch` in one transaction; the error when a row in it is refused."""
        try:
            outcome = await self._write(self._planner.plan([row for row, _ in batch]))
        except Exception as error:  # whatever a row does to the encoder must not end the log
            outcome = error
        if isinstance(outcome, Exception):
            self._planner.forget_names()
            return outcome
        self._committed += outcome
        self._duplicates += len(batch) - outcome
        return None

    async def _write(self, steps: Sequence[Step]) -> int | Exception:
        """Run `steps`, again and again while the database is in trouble; the rows stored.

        Returns the error when it is the rows that are refused.
        """
        delay = _FIRST_RETRY_S
        while True:
            try:
                stored = await self._store.write(steps)
            except Exception as error:
                trouble = explain(error)
                if trouble is None:
                    return error
                self._report(trouble)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LAST_RETRY_S)
            else:
                self._recover()
                return stored

    async def _park(self, entry: Entry, refusal: Exception) -> None:
        row, done = entry
        reason = str(refusal.orig if isinstance(refusal, DBAPIError) else refusal)
        _log.warning("set a %s aside in dead_letter: %s", type(row).__name__, reason)
        letter = self._planner.park(row, reason, now_ms())
        while isinstance(error := await self._write(letter), Exception):
            self._report(StorageError(f"the database refuses even to set rows aside: {error}"))
            await asyncio.sleep(_LAST_RETRY_S)
        self._parked += 1
        self._settled += 1
        if done is not None:
            _fail(done, StorageError(f"the row was set aside in dead_letter: {reason}"))
        self._wake()

    def _acknowledge(self, batch: Sequence[Entry]) -> None:
        self._settled += len(batch)
        for _, done in batch:
            if done is not None and not done.done():
                done.set_result(None)
        self._acks.trim()
        self._wake()

    def _wake(self) -> None:
        self._room.set()
        while self._flushes and self._flushes[0][0] <= self._settled:
            _, done = self._flushes.popleft()
            if not done.done():
                done.set_result(None)

    def _report(self, trouble: StorageError) -> None:
        loop = asyncio.get_running_loop()
        if self._trouble is None:
            self._failing_since = loop.time()
            _log.error("the log cannot be written: %s", trouble)
        self._trouble = trouble
        # Whoever waits for room is told now that there will be none.
        self._room.set()
        if loop.time() - self._failing_since >= self._ack_timeout:
            while self._flushes:
                _fail(self._flushes.popleft()[1], LogUnavailable(str(trouble)))

    def _recover(self) -> None:
        if self._trouble is not None:
            _log.info("the log is written again")
            self._trouble = None


class _Deadlines:
    """Fails futures that are not done in time. One timer serves them all: they are in order."""

    def __init__(self, timeout: float, error: Callable[[], Exception]) -> None:
        self._timeout = timeout
        self._error = error
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, done: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        self._waiting.append((deadline, done))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire)

    def trim(self) -> None:
        """Let go of what is done."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

    def close(self) -> None:
        """Fail all that is left."""
        if self._timer is not None:
            self._timer.cancel()
        for _, done in self._waiting:
            _fail(done, self._error())

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        self.trim()
        while self._waiting and self._waiting[0][0] <= loop.time():
            _fail(self._waiting.popleft()[1], self._error())
            self.trim()
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._expire)


def _fail(done: asyncio.Future[None], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # marks it as seen: a caller of `submit` may have lost interest
