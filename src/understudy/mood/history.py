"""Keeps the mood of every channel over time, in batches and for a bounded while.

Owns when rows are stored and when they are dropped again. Does not own the table (`storage.mood`)
nor the sums (`rollups`).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from understudy.events import MoodReading, now_ms
from understudy.mood.rollups import HOUR, MINUTE, SECOND, Rollups
from understudy.storage.errors import StorageError
from understudy.storage.mood import MoodRollup

SAVE_SECONDS = 5.0
PRUNE_SECONDS = 600.0
RETENTION: Mapping[int, float] = {SECOND: 6 * 3_600, MINUTE: 30 * 86_400, HOUR: 5 * 365 * 86_400}
"""Seconds for which rows of each length are kept."""

_log = logging.getLogger(__name__)


class RollupStore(Protocol):
    """Keeps the rows; raises `StorageError`."""

    async def add(self, rows: Sequence[MoodRollup]) -> None:
        """Add the numbers of `rows` to the rows of the same key, all of them or none."""
        ...

    async def prune(self, step: int, before: int) -> int:
        """Drop the rows of this `step` that begin before `before` (ms); returns how many."""
        ...


class MoodHistory:
    """Takes what happens at once and stores it in the background: `start` it, `close` it."""

    def __init__(
        self,
        store: RollupStore,
        *,
        keeps: Callable[[str], bool] = lambda channel: True,
        retention: Mapping[int, float] = RETENTION,
        now: Callable[[], int] = now_ms,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        """`keeps` tells by its name whether a channel has a history: a rehearsed one has none."""
        self._store = store
        self._keeps = keeps
        self._retention = retention
        self._now = now
        self._save_seconds = save_seconds
        self._rollups = Rollups()
        self._saving: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self.last_error = ""

    def start(self) -> None:
        """Begin to store."""
        self._saving = asyncio.create_task(self._keep_saving(), name="mood history")

    async def close(self) -> None:
        """Store what is not stored yet, then stop."""
        self._closed.set()
        if self._saving is not None:
            await self._saving
            await self.save()

    def count(self, channel: str, score: float, ts: int) -> None:
        """A message of this `score` counted at `ts` (ms)."""
        if self._keeps(channel):
            self._rollups.count(channel, score, ts)

    def uncount(self, channel: str, score: float, ts: int) -> None:
        """The message that counted at `ts` was taken back."""
        if self._keeps(channel):
            self._rollups.count(channel, score, ts, taken_back=True)

    def read(self, reading: MoodReading) -> None:
        """The meter gave a reading."""
        if self._keeps(reading.channel):
            self._rollups.read(reading)

    async def save(self) -> None:
        """Store what waits; it is kept for the next time when that fails."""
        rows = self._rollups.take()
        if not rows:
            return
        try:
            await self._store.add(rows)
        except StorageError as error:
            if not self.last_error:
                _log.error("the mood is not stored yet: %s", error)
            self.last_error = str(error)
            for row in rows:
                self._rollups.put(row)
        else:
            self.last_error = ""

    async def prune(self) -> None:
        """Drop what is older than is kept."""
        now = self._now()
        try:
            for step, seconds in self._retention.items():
                await self._store.prune(step, now - int(seconds * 1000))
        except StorageError as error:
            _log.warning("old moods are not dropped yet: %s", error)

    async def _keep_saving(self) -> None:
        # Ended by a flag: a save that is cancelled would not know whether it was stored.
        pruned_at = float("-inf")
        clock = asyncio.get_running_loop().time
        while not self._closed.is_set():
            if clock() - pruned_at >= PRUNE_SECONDS:
                pruned_at = clock()
                await self.prune()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._save_seconds):
                    await self._closed.wait()
            await self.save()
