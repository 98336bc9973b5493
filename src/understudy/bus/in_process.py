"""The in-process bus: every subscriber has a bounded queue of its own.

A subscriber that stops reading never blocks the others. When its queue is full the oldest event
is dropped and counted, unless the subscriber said that it must not lose any: then, and only then,
`publish` waits for it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

from understudy.events import Event


class Subscription:
    """One reader's queue; iterate over it, or take `batch()`es. Close it when done."""

    def __init__(
        self,
        name: str,
        kinds: tuple[type[Event], ...],
        capacity: int,
        lossless: bool,
        channel: str | None,
    ) -> None:
        self.name = name
        self.lossless = lossless
        self.capacity = capacity
        self.dropped = 0
        self._kinds = kinds
        self._channel = channel
        self._queue: deque[Event] = deque()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._idle = asyncio.Event()
        self._idle.set()
        # That the reader must not linger: somebody waits for it, or there is a lot to do.
        self._urgent = asyncio.Event()
        self._awaited = 0
        self._enough = capacity
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def closed(self) -> bool:
        """Whether the subscription takes no more events."""
        return self._closed

    def wants(self, event: Event) -> bool:
        """Whether `event` is of a kind and channel this reader asked for."""
        return isinstance(event, self._kinds) and (
            self._channel is None or event.channel == self._channel
        )

    def offer(self, event: Event) -> bool:
        """Queue `event`; False when the queue is full and the reader must not lose it."""
        if self._closed:
            return True
        if len(self._queue) >= self.capacity:
            if self.lossless:
                self._writable.clear()
                return False
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(event)
        self._readable.set()
        self._idle.clear()
        if len(self._queue) == self._enough:
            self._urgent.set()
        return True

    async def wait_writable(self) -> None:
        """Wait until there is room again or the reader has gone."""
        await self._writable.wait()

    async def batch(self, limit: int = 1024, linger: float = 0.0) -> list[Event]:
        """All queued events up to `limit`, waiting for the first; empty once closed and read.

        After the first, others are waited for during `linger` seconds, which spares a reader that
        is in no hurry from being woken for each; not while somebody waits for the reader, and
        no longer than until there is a quarter of `limit`.
        """
        if not self._queue:
            self._idle.set()
        while not self._queue:
            if self._closed:
                return []
            self._readable.clear()
            await self._readable.wait()
        if linger and not (self._closed or self._awaited):
            await self._linger(linger, max(1, limit // 4))
        if len(self._queue) > limit:
            # A reader with a backlog never waits: without this nobody else would have a turn.
            await asyncio.sleep(0)
        taken = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        self._writable.set()
        return taken

    async def drained(self) -> None:
        """Wait until every event was taken and the reader came back for more.

        A reader that leaves without coming back is waited for: it may be busy with what it took.
        """
        self._awaited += 1
        self._urgent.set()
        try:
            await self._idle.wait()
        finally:
            self._awaited -= 1

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while events := await self.batch(limit=1):
                yield events[0]
        finally:
            if not self._queue:
                self._idle.set()

    def close(self) -> None:
        """Take no more events; the reader still gets those already queued."""
        self._closed = True
        self._readable.set()
        self._writable.set()
        self._urgent.set()

    async def _linger(self, seconds: float, enough: int) -> None:
        if len(self._queue) >= enough:
            return
        self._enough = enough
        self._urgent.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._urgent.wait()


class Bus:
    """Hands every published event to each subscriber that wants it."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The open subscriptions, for metrics."""
        return tuple(self._subscriptions)

    def subscribe(
        self,
        name: str,
        *kinds: type[Event],
        capacity: int = 1024,
        lossless: bool = False,
        channel: str | None = None,
    ) -> Subscription:
        """A new queue of `capacity` events of `kinds` (all when none is named).

        With `lossless`, a full queue makes publishers wait; without, it drops its oldest event.
        """
        subscription = Subscription(name, kinds or (Event,), capacity, lossless, channel)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close the queue and forget it."""
        subscription.close()
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def publish(self, event: Event) -> None:
        """Deliver `event`; waits only for subscribers that must not lose it and are full."""
        full = [
            subscription
            for subscription in self._subscriptions
            if subscription.wants(event) and not subscription.offer(event)
        ]
        # All others have it by now: who must wait keeps no one else waiting.
        for subscription in full:
            while not subscription.offer(event):
                await subscription.wait_writable()

    def publish_nowait(self, event: Event) -> None:
        """Deliver `event` without waiting, for events that a lossless reader does not take.

        Raises `RuntimeError` when a lossless subscriber wants it and is full.
        """
        for subscription in tuple(self._subscriptions):
            if subscription.wants(event) and not subscription.offer(event):
                raise RuntimeError(f"{subscription.name} is full and must not lose events")

    async def drained(self) -> None:
        """Wait until every lossless subscriber has dealt with what it was given."""
        for subscription in tuple(self._subscriptions):
            if subscription.lossless:
                await subscription.drained()

    def close(self) -> None:
        """Close every subscription."""
        for subscription in tuple(self._subscriptions):
            self.unsubscribe(subscription)
