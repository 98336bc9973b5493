import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.base import BrainMessage, BrainRequest, ToolCall, ToolSpec, Usage
from understudy.brains.budget import Budget, BudgetSpent, estimate, estimate_tokens
from understudy.brains.prices import MICROS, Price
from understudy.storage.errors import StorageError
from understudy.storage.rows import UsageDay

PRICE = Price("p", "*", 1.0, 1.0)
"""A token costs a millionth of a dollar."""


def request(tokens: int, channel: str = "ada") -> BrainRequest:
    """A request that may use at most about `tokens`."""
    return BrainRequest(messages=[], channel=channel, max_tokens=tokens - 4)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Rows:
    """A store in memory that can fail, and that remembers across budgets."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str, str], UsageDay] = {}
        self.failing = False
        self.added = asyncio.Event()

    async def load(self, day: str) -> Sequence[UsageDay]:
        return [row for row in self.rows.values() if row.day == day]

    async def add(self, rows: Sequence[UsageDay]) -> None:
        await asyncio.sleep(0)
        if self.failing:
            raise StorageError("the disk is full")
        for row in rows:
            known = self.rows.get(row.key)
            self.rows[row.key] = known.plus(row) if known else row
        self.added.set()


def spend(budget: Budget, tokens: int, channel: str = "ada") -> None:
    bill = budget.reserve(request(tokens, channel), "p", "m", PRICE)
    budget.settle(bill, Usage(tokens, 0))


def test_what_is_used_is_counted_by_channel_and_model():
    budget = Budget(now=Clock())
    for model, channel in [("a", "ada"), ("a", "ada"), ("b", "ada"), ("a", "bob")]:
        bill = budget.reserve(request(100, channel), "p", model, PRICE)
        budget.settle(bill, Usage(10, 5, cached_tokens=4))
        assert bill.cost_micros == 15
    rows = {(row.channel, row.model): row for row in budget.today()}
    assert rows["ada", "a"] == UsageDay(
        day="2026-11-21",
        channel="ada",
        provider="p",
        model="a",
        replies=2,
        input=20,
        output=10,
        cached=8,
        cost_micros=30,
    )
    assert len(rows) == 3
    assert budget.spent() == 60
    assert budget.spent("bob") == 15


def test_the_daily_limit_is_a_hard_stop():
    budget = Budget(daily=0.001)
    spend(budget, 600)
    with pytest.raises(BudgetSpent, match=r"the daily budget of \$0\.001 is used up") as caught:
        spend(budget, 401)
    assert (caught.value.kind, caught.value.retryable) == ("refused", False)
    spend(budget, 400)
    assert budget.spent() == 1_000


def test_a_channel_has_a_limit_of_its_own():
    budget = Budget(channel_daily=0.001)
    spend(budget, 1_000, "ada")
    with pytest.raises(BudgetSpent, match=r"the daily budget of ada of \$0\.001 is used up"):
        spend(budget, 10, "ada")
    spend(budget, 1_000, "bob")
    # Talks outside of streams have no channel to limit.
    spend(budget, 2_000, "")


def test_replies_at_the_same_time_do_not_spend_the_same_money():
    budget = Budget(daily=0.001)
    first = budget.reserve(request(600), "p", "m", PRICE)
    with pytest.raises(BudgetSpent):
        budget.reserve(request(600), "p", "m", PRICE)
    budget.settle(first, Usage(100, 50))
    budget.reserve(request(600), "p", "m", PRICE)


def test_a_request_that_failed_gives_its_money_back():
    budget = Budget(daily=0.001)
    budget.settle(budget.reserve(request(1_000), "p", "m", PRICE), None)
    assert budget.today() == []
    spend(budget, 1_000)


def test_without_a_price_nothing_is_limited_and_the_cost_is_unknown():
    budget = Budget(daily=0.001)
    spend(budget, 1_000)
    bill = budget.reserve(request(5_000), "p", "new", None)
    budget.settle(bill, Usage(5_000, 1))
    assert bill.cost_micros is None
    row = next(row for row in budget.today() if row.model == "new")
    assert (row.replies, row.unpriced, row.cost_micros) == (1, 1, 0)


def test_what_is_free_is_never_refused():
    budget = Budget(daily=0.001)
    spend(budget, 1_000)
    bill = budget.reserve(request(5_000), "p", "m", Price("p", "m", 0.0, 0.0))
    budget.settle(bill, Usage(5_000, 1))
    assert bill.cost_micros == 0


def test_a_new_day_begins_at_midnight_utc():
    clock = Clock()
    budget = Budget(daily=0.001, now=clock)
    late = budget.reserve(request(400), "p", "m", PRICE)
    spend(budget, 600)
    clock.now += timedelta(minutes=2)
    assert budget.spent() == 0
    spend(budget, 1_000)
    # A reply of yesterday that ends today is yesterday's.
    budget.settle(late, Usage(400, 0))
    assert budget.spent() == 1_000
    assert [row.day for row in budget.today()] == ["2026-11-22"]


def test_the_day_is_the_same_wherever_the_clock_is():
    clock = Clock()
    clock.now = datetime(2026, 11, 22, 8, 30, tzinfo=timezone(timedelta(hours=9)))
    budget = Budget(now=clock)
    spend(budget, 10)
    assert budget.today()[0].day == "2026-11-21"


@given(
    st.lists(
        st.tuples(st.integers(5, 400), st.integers(0, 400), st.booleans()), min_size=1, max_size=40
    )
)
def test_replies_in_any_order_never_overshoot(replies):
    """Each may use up to its estimate; some are under way while others are asked for."""
    budget = Budget(daily=0.001)
    under_way = []
    for tokens, used, settle_first in replies:
        if settle_first and under_way:
            bill, usage = under_way.pop(0)
            budget.settle(bill, usage)
        try:
            bill = budget.reserve(request(tokens), "p", "m", PRICE)
        except BudgetSpent:
            continue
        under_way.append((bill, Usage(min(used, tokens), 0)))
    for bill, usage in under_way:
        budget.settle(bill, usage)
    assert budget.spent() <= 0.001 * MICROS


async def test_it_goes_on_after_a_restart():
    clock, store = Clock(), Rows()
    first = Budget(store, daily=0.001, now=clock)
    await first.start()
    spend(first, 300)
    spend(first, 300)
    await first.close()
    assert [row.replies for row in store.rows.values()] == [2]

    second = Budget(store, daily=0.001, now=clock)
    await second.start()
    assert second.spent() == 600
    with pytest.raises(BudgetSpent):
        spend(second, 500)
    spend(second, 400)
    await second.close()
    (row,) = store.rows.values()
    assert (row.replies, row.cost_micros) == (3, 1_000)


async def test_usage_is_saved_as_it_comes():
    store = Rows()
    budget = Budget(store, now=Clock())
    await budget.start()
    spend(budget, 300)
    await asyncio.wait_for(store.added.wait(), 5)
    await budget.close()
    assert [row.replies for row in store.rows.values()] == [1]


async def test_usage_that_cannot_be_saved_is_kept_for_the_next_time(caplog):
    store = Rows()
    budget = Budget(store, now=Clock())
    await budget.start()
    store.failing = True
    spend(budget, 300)
    await budget.save()
    assert "usage is not stored yet: the disk is full" in caplog.text
    store.failing = False
    spend(budget, 200)
    await budget.close()
    (row,) = store.rows.values()
    assert (row.replies, row.cost_micros) == (2, 500)


async def test_without_a_store_it_counts_in_memory():
    budget = Budget(daily=1.0)
    await budget.start()
    spend(budget, 300)
    await budget.close()
    assert budget.spent() == 300
    assert budget.limited
    assert not Budget().limited


def test_the_estimate_holds_everything_that_is_sent():
    bare = BrainRequest(messages=[BrainMessage("user", "hello there")], max_tokens=50)
    full = BrainRequest(
        messages=[
            BrainMessage("user", "hello there"),
            BrainMessage("assistant", "", (ToolCall("1", "clock", '{"zone": "UTC"}'),)),
        ],
        system_prompt="Be kind. " * 20,
        tools=[ToolSpec("clock", "Tells the time.", {"type": "object"})],
        max_tokens=50,
    )
    assert estimate(bare).output_tokens == estimate(full).output_tokens == 50
    assert 4 < estimate(bare).input_tokens < 20
    assert estimate(full).input_tokens > estimate(bare).input_tokens + 60


@pytest.mark.parametrize(
    ("text", "least"), [("", 0), ("hello world", 2), ("你好世界", 4), ("Привет", 3), ("🎉", 1)]
)
def test_tokens_are_estimated_upwards_in_any_script(text, least):
    assert least <= estimate_tokens(text) <= max(1, 2 * len(text))
    assert estimate_tokens("\ud800") == 1
