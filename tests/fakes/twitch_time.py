"""Time for tests of what waits: short waits are over at once, long ones when the test says so."""

import asyncio
import heapq

LONG_SECONDS = 60.0
"""Waits from here on are long, such as the hour between two checks of a login."""


class SteppedTime:
    """Seconds that pass by `sleep` and `advance` only; call it for the present."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Condition()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass; a long wait lasts until `advance` has come so far."""
        self.slept.append(seconds)
        if seconds < LONG_SECONDS:
            self.now += seconds
            await asyncio.sleep(0)
            return
        over = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, id(over), over))
        async with self._changed:
            self._changed.notify_all()
        await over

    async def asleep(self) -> None:
        """Wait until somebody waits long."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(not s[2].done() for s in self._sleepers))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and wake up whoever waited for them."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
