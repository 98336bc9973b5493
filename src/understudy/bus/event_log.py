"""A bounded, numbered, append-only log that any number of readers follow at their own pace.

One concept serves a reply that is resumed after a lost connection, a second viewer of the same
reply, and the live feed of the dashboard: a reader is a position in the log. Appending costs the
same with none or a thousand readers, and a reader that stops reading holds up nobody: it falls
behind the oldest entry kept and is told how many it missed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Gap(msgspec.Struct, frozen=True):
    """Entries a slow reader lost: `missed` of them, before sequence number `first_kept`."""

    missed: int
    first_kept: int


class EventLog(Generic[T]):
    """Entries numbered from 1; the newest `capacity` are kept (all when it is None).

    With `weigh`, no more than weigh `max_weight` together are kept, but always the newest.
    """

    def __init__(
        self,
        capacity: int | None = None,
        *,
        weigh: Callable[[T], int] | None = None,
        max_weight: int = 0,
    ) -> None:
        self._entries: deque[T] = deque(maxlen=capacity)
        self._weigh = weigh
        self._max_weight = max_weight
        self._weight = 0
        self._last = 0
        self._closed = False
        self._waiters: set[asyncio.Future[bool]] = set()

    @property
    def last_seq(self) -> int:
        """Number of the newest entry, 0 while the log is empty."""
        return self._last

    @property
    def first_seq(self) -> int:
        """Number of the oldest entry still kept; `last_seq + 1` while there is none."""
        return self._last - len(self._entries) + 1

    @property
    def closed(self) -> bool:
        """Whether the last entry has been appended."""
        return self._closed

    def append(self, entry: T) -> int:
        """Add `entry`, wake the readers, and return its number. Never waits."""
        if self._closed:
            raise RuntimeError("the log is closed")
        if self._weigh is not None:
            self._make_room(self._weigh(entry), self._weigh)
        self._entries.append(entry)
        self._last += 1
        self._wake()
        return self._last

    def close(self) -> None:
        """Let every reader end once it has read what is there."""
        self._closed = True
        self._wake()

    def after(self, seq: int, limit: int | None = None) -> list[tuple[int, T]]:
        """The kept entries numbered above `seq`, oldest first, at most `limit` of them."""
        first = self.first_seq
        skip = max(0, seq + 1 - first)
        stop = len(self._entries) if limit is None else min(len(self._entries), skip + limit)
        return [(first + index, self._entries[index]) for index in range(skip, stop)]

    async def follow(
        self, seq: int = 0, *, limit: int = 256
    ) -> AsyncIterator[Gap | list[tuple[int, T]]]:
        """Yield entries after `seq` in batches as they come, until the log is closed.

        A batch holds all that waited, up to `limit`: a reader that is slow gets fewer, larger
        batches. A reader that fell behind the kept entries gets a `Gap` first. A `seq` below 0
        counts as 0, the beginning.
        """
        seq = max(0, seq)
        while True:
            first = self.first_seq
            if seq + 1 < first:
                yield Gap(missed=first - seq - 1, first_kept=first)
                # The log may have moved on meanwhile: what it lost since then is another gap.
                seq = first - 1
                continue
            batch = self.after(seq, limit)
            if batch:
                seq = batch[-1][0]
                yield batch
            elif self._closed:
                return
            else:
                await self.changed()

    async def changed(self, within: float | None = None) -> bool:
        """Wait for the next append or the close; False when `within` seconds passed first.

        A closed log cannot change any more: False at once. Call it only right after `after` came
        back empty, with no `await` in between: an append before the call is not noticed.
        """
        if self._closed:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(within, _settle, waiter, False) if within is not None else None
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def _make_room(self, weight: int, weigh: Callable[[T], int]) -> None:
        entries = self._entries
        self._weight += weight
        while entries and (len(entries) == entries.maxlen or self._weight > self._max_weight):
            self._weight -= weigh(entries.popleft())

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            _settle(waiter, True)


def _settle(waiter: asyncio.Future[bool], changed: bool) -> None:
    if not waiter.done():
        waiter.set_result(changed)
