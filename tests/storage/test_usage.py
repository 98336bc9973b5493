"""Usage per day, channel and model, in SQLite and PostgreSQL."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from understudy.brains.base import BrainRequest, Usage
from understudy.brains.budget import Budget, BudgetSpent
from understudy.brains.prices import Price
from understudy.storage import sqlite
from understudy.storage.engine import Database
from understudy.storage.errors import LogUnavailable, StorageError
from understudy.storage.rows import UsageDay
from understudy.storage.usage import UsageDays

TODAY = "2026-11-21"


def used(replies: int = 1, **fields: Any) -> UsageDay:
    """`replies` replies of 10 tokens each, half of them cached, at 3 millionths of a dollar."""
    key = {"day": TODAY, "channel": "ada", "provider": "claude", "model": "m"}
    numbers = {"replies": replies, "input": 8 * replies, "output": 2 * replies}
    costs = {"cached": 5 * replies, "cost_micros": 3 * replies}
    return UsageDay(**{**key, **numbers, **costs, **fields})


async def test_what_is_added_is_summed_by_key(any_database: Database) -> None:
    days = UsageDays(any_database)
    assert await days.load(TODAY) == []
    await days.add([])
    await days.add([used(1), used(1, model="a", unpriced=1)])
    await days.add([used(2), used(1, channel=""), used(1, provider="openai")])
    await days.add([used(4), used(1, day="2026-11-22")])
    assert await days.load(TODAY) == [
        used(1, channel=""),
        used(1, model="a", unpriced=1),
        used(7),
        used(1, provider="openai"),
    ]
    assert await days.load("2026-11-22") == [used(1, day="2026-11-22")]


async def test_one_key_may_come_twice_at_once(any_database: Database) -> None:
    days = UsageDays(any_database)
    await days.add([used(1), used(2), used(3)])
    assert await days.load(TODAY) == [used(6)]


async def test_a_number_too_big_for_a_table_stores_none_of_the_rows(any_database: Database) -> None:
    days = UsageDays(any_database)
    await days.add([used(1)])
    with pytest.raises(StorageError, match="refused what was used"):
        await days.add([used(1), used(1, model="z", input=2**63)])
    assert await days.load(TODAY) == [used(1)]


async def test_big_sums_fit(any_database: Database) -> None:
    days = UsageDays(any_database)
    await days.add([used(1, cost_micros=2**61)])
    await days.add([used(1, cost_micros=2**61)])
    [row] = await days.load(TODAY)
    assert row.cost_micros == 2**62


async def test_text_no_database_can_hold_is_kept_readable(any_database: Database) -> None:
    days = UsageDays(any_database)
    await days.add([used(1, model="a\x00b"), used(1, model="a\ud800b")])
    assert await days.load(TODAY) == [used(2, model="a\ufffdb")]


async def test_several_processes_add_up_without_losing_any(any_database_url: str) -> None:
    databases = [await Database.open(any_database_url) for _ in range(2)]
    rows = [used(1), used(1, model="a"), used(1, model="b")]
    orders = [rows, rows[::-1]] * 4
    await asyncio.gather(
        *[UsageDays(databases[n // 2 % 2]).add(order) for n, order in enumerate(orders)]
    )
    found = await UsageDays(databases[0]).load(TODAY)
    for database in databases:
        await database.close()
    assert found == [used(8, model="a"), used(8, model="b"), used(8)]


async def test_a_locked_database_stores_nothing_and_the_rows_can_be_added_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PRAGMAS", sqlite.PRAGMAS + "PRAGMA busy_timeout = 20;")
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/a.db")
    days = UsageDays(database)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="locked"):
            await days.add([used(1)])
    await days.add([used(1)])
    assert await days.load(TODAY) == [used(1)]
    await database.close()


async def test_a_limit_outlives_a_restart(any_database: Database) -> None:
    price = Price("p", "*", 1.0, 1.0)
    request = BrainRequest(messages=[], channel="ada", max_tokens=600_000)

    async def reply() -> None:
        budget = Budget(UsageDays(any_database), daily=1.0)
        await budget.start()
        try:
            bill = budget.reserve(request, "p", "m", price)
            budget.settle(bill, Usage(0, 500_000))
        finally:
            await budget.close()

    await reply()
    with pytest.raises(BudgetSpent):
        await reply()
