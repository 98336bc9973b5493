"""What has been spent today, and the hard stop when it is enough.

Owns the count of tokens and dollars per day (UTC), channel and model, and the limits on them. Does
not own prices (`prices`), the table (`UsageStore`), nor what happens when the money is gone
(`router`).

A reply reserves the most it may cost before it is asked for, and settles what it did cost
afterwards, so that replies at the same time cannot spend the same dollar twice. A limit holds
for one process: several of them share what is stored when each starts.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from understudy.brains.base import BrainError, BrainRequest, Usage
from understudy.brains.prices import MICROS, Price, dollars
from understudy.storage.errors import StorageError
from understudy.storage.rows import UsageDay

SAVE_SECONDS = 1.0
"""How long usage may wait to be stored together with more of it."""
_BYTES_PER_TOKEN = 3
_MESSAGE_TOKENS = 4
_log = logging.getLogger(__name__)


class BudgetSpent(BrainError):
    """A limit is reached, or would be with this reply."""


class UsageStore(Protocol):
    """Keeps the counts; raises `StorageError`."""

    async def load(self, day: str) -> Sequence[UsageDay]:
        """The rows of a day."""
        ...

    async def add(self, rows: Sequence[UsageDay]) -> None:
        """Add the numbers of `rows` to the rows of the same key, all of them or none."""
        ...


class Bill(msgspec.Struct):
    """What one request to a model is booked on; `cost_micros` is None when no price is known."""

    day: str
    channel: str
    provider: str
    model: str
    price: Price | None
    reserved: int
    cost_micros: int | None = None


class Budget:
    """Counts usage and refuses what would exceed a limit (USD per day; 0 means none).

    `start` reads what was spent before and begins to save; `close` saves the rest.
    """

    def __init__(
        self,
        store: UsageStore | None = None,
        *,
        daily: float = 0.0,
        channel_daily: float = 0.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._daily = daily
        self._channel_daily = channel_daily
        self._now = now
        self._day = ""
        self._rows: dict[tuple[str, str, str, str], UsageDay] = {}
        self._committed = 0
        self._committed_by: dict[str, int] = {}
        self._unsaved: dict[tuple[str, str, str, str], UsageDay] = {}
        self._wake = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self._daily > 0 or self._channel_daily > 0

    async def start(self) -> None:
        """Go on from what is stored of today; raises `StorageError`."""
        if self._store is None:
            return
        self._roll_over()
        for row in await self._store.load(self._day):
            self._count(row)
            self._commit(row.channel, row.cost_micros)
        self._saving = asyncio.create_task(self._keep_saving(), name="usage")

    async def close(self) -> None:
        """Save what is not saved yet."""
        self._closed.set()
        self._wake.set()
        if self._saving is not None:
            await self._saving
            await self.save()

    def today(self) -> list[UsageDay]:
        """Today's usage by channel and model."""
        self._roll_over()
        return list(self._rows.values())

    def spent(self, channel: str | None = None) -> int:
        """Millionths of a dollar spent today, in all or in one channel."""
        return sum(r.cost_micros for r in self.today() if channel in {None, r.channel})

    def reserve(
        self, request: BrainRequest, provider: str, model: str, price: Price | None
    ) -> Bill:
        """Set aside the most that `request` may cost; raises `BudgetSpent`.

        Without a known price nothing is set aside and no limit holds.
        """
        self._roll_over()
        most = price.cost(estimate(request)) if price and not price.free else 0
        if most:
            self._check(request.channel, most)
            self._commit(request.channel, most)
        return Bill(self._day, request.channel, provider, model, price, most)

    def settle(self, bill: Bill, usage: Usage | None) -> None:
        """Book `usage` in place of what was set aside; None when the request cost nothing.

        It counts for the day on which the request was made.
        """
        cost = bill.price.cost(usage) if bill.price and usage else 0
        if bill.day == self._day:
            self._commit(bill.channel, cost - bill.reserved)
        bill.reserved = cost
        if usage is None:
            return
        bill.cost_micros = cost if bill.price else None
        row = UsageDay(
            day=bill.day,
            channel=bill.channel,
            provider=bill.provider,
            model=bill.model,
            replies=1,
            unpriced=0 if bill.price else 1,
            input=usage.input_tokens,
            output=usage.output_tokens,
            cached=usage.cached_tokens,
            cost_micros=cost,
        )
        self._count(row)
        self._keep(row)
        self._wake.set()

    async def save(self) -> None:
        """Store what is not stored yet; it is kept for the next time when that fails."""
        rows, self._unsaved = list(self._unsaved.values()), {}
        if self._store is None or not rows:
            return
        try:
            await self._store.add(rows)
        except StorageError as error:
            _log.error("usage is not stored yet: %s", error)
            for row in rows:
                self._keep(row)

    def _check(self, channel: str, most: int) -> None:
        if self._daily and self._committed + most > self._daily * MICROS:
            raise BudgetSpent(_spent("daily_budget", self._daily, ""), kind="refused")
        in_channel = self._committed_by.get(channel, 0) + most
        if channel and self._channel_daily and in_channel > self._channel_daily * MICROS:
            where = f" of {channel}"
            raise BudgetSpent(
                _spent("channel_daily_budget", self._channel_daily, where), kind="refused"
            )

    def _commit(self, channel: str, micros: int) -> None:
        self._committed += micros
        self._committed_by[channel] = self._committed_by.get(channel, 0) + micros

    def _count(self, row: UsageDay) -> None:
        if row.day == self._day:
            known = self._rows.get(row.key)
            self._rows[row.key] = known.plus(row) if known else row

    def _keep(self, row: UsageDay) -> None:
        waiting = self._unsaved.get(row.key)
        self._unsaved[row.key] = waiting.plus(row) if waiting else row

    def _roll_over(self) -> None:
        day = self._now().astimezone(UTC).date().isoformat()
        if day != self._day:
            self._day = day
            self._rows = {}
            self._committed = 0
            self._committed_by = {}

    async def _keep_saving(self) -> None:
        # Ended by a flag: a save that is cancelled would not know whether it was stored.
        while not self._closed.is_set():
            await self._wake.wait()
            self._wake.clear()
            # Replies close to each other are one transaction.
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_SECONDS):
                    await self._closed.wait()
            await self.save()


def estimate(request: BrainRequest) -> Usage:
    """The most that `request` may use, meant to err upwards: all it may read and write."""
    texts = [request.system_prompt, *(message.content for message in request.messages)]
    texts += [call.arguments for message in request.messages for call in message.tool_calls]
    texts += [msgspec.json.encode(tool).decode() for tool in request.tools]
    return Usage(
        input_tokens=sum(estimate_tokens(text) + _MESSAGE_TOKENS for text in texts),
        output_tokens=request.max_tokens,
    )


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` has in any script, erring upwards."""
    return -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN)


def _spent(setting: str, limit: float, where: str) -> str:
    return (
        f"the daily budget{where} of {dollars(round(limit * MICROS))} is used up: "
        f"raise brain.{setting} or wait until 00:00 UTC"
    )
