import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.bus import EventLog, Gap

Item = Gap | list[tuple[int, int]]


async def settle() -> None:
    """Let every task that can run do so until it waits again."""
    for _ in range(3):
        await asyncio.sleep(0)


class Reader:
    """Follows a log one step at a time and keeps account of what it saw."""

    def __init__(self, log: EventLog[int], seq: int, limit: int) -> None:
        self.start = seq
        self.seen: list[tuple[int, int]] = []
        self.gaps: list[Gap] = []
        self.position = seq
        self.limit = limit
        self.ended = False
        self._items: AsyncIterator[Item] = log.follow(seq, limit=limit)
        self._next: asyncio.Task[Item] | None = None

    async def step(self) -> None:
        """Ask for the next item unless that was done before; take it when it is there."""
        if self.ended:
            return
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._items))
        await settle()
        if self._next.done():
            task, self._next = self._next, None
            try:
                self._take(task.result())
            except StopAsyncIteration:
                self.ended = True

    def _take(self, item: Item) -> None:
        if isinstance(item, Gap):
            self.gaps.append(item)
            assert item.missed > 0
            assert item.first_kept == self.position + item.missed + 1
            self.position += item.missed
            return
        assert 0 < len(item) <= self.limit
        for seq, _ in item:
            assert seq == self.position + 1, "an entry came twice, out of order, or was lost unseen"
            self.position = seq
        self.seen += item


async def read_all(log: EventLog[int], seq: int = 0, limit: int = 256) -> list[Item]:
    return [item async for item in log.follow(seq, limit=limit)]


# --- the log itself


def test_entries_are_numbered_from_one() -> None:
    log: EventLog[str] = EventLog()
    assert (log.first_seq, log.last_seq, log.closed) == (1, 0, False)
    assert [log.append(entry) for entry in "abc"] == [1, 2, 3]
    assert (log.first_seq, log.last_seq) == (1, 3)
    assert log.after(0) == [(1, "a"), (2, "b"), (3, "c")]
    assert log.after(2) == [(3, "c")]
    assert log.after(0, limit=2) == [(1, "a"), (2, "b")]
    assert log.after(3) == []
    assert log.after(99) == []


def test_only_the_newest_are_kept() -> None:
    log: EventLog[int] = EventLog(capacity=2)
    for value in range(5):
        log.append(value)
    assert (log.first_seq, log.last_seq) == (4, 5)
    assert log.after(0) == [(4, 3), (5, 4)]
    assert log.after(4, limit=5) == [(5, 4)]


def test_what_is_kept_may_be_bounded_by_weight() -> None:
    log: EventLog[str] = EventLog(4, weigh=len, max_weight=10)
    for entry in ("aaaa", "bbbb", "cc"):
        log.append(entry)
    assert [entry for _, entry in log.after(0)] == ["aaaa", "bbbb", "cc"]
    log.append("d")
    assert [entry for _, entry in log.after(0)] == ["bbbb", "cc", "d"]
    log.append("e" * 50)
    assert log.after(0) == [(5, "e" * 50)]
    for entry in "fghij":
        log.append(entry)
    assert [entry for _, entry in log.after(0)] == ["g", "h", "i", "j"]
    assert (log.first_seq, log.last_seq) == (7, 10)


def test_a_closed_log_takes_nothing_more() -> None:
    log: EventLog[int] = EventLog()
    log.append(1)
    log.close()
    log.close()
    assert log.closed
    with pytest.raises(RuntimeError, match="closed"):
        log.append(2)
    assert log.after(0) == [(1, 1)]


# --- following it


async def test_a_reader_gets_what_is_there_and_what_comes() -> None:
    log: EventLog[int] = EventLog()
    log.append(10)
    reader = Reader(log, 0, limit=256)
    await reader.step()
    assert reader.seen == [(1, 10)]
    await reader.step()
    assert reader.seen == [(1, 10)]
    log.append(20)
    log.append(30)
    await reader.step()
    assert reader.seen == [(1, 10), (2, 20), (3, 30)]
    log.close()
    await reader.step()
    assert reader.ended


async def test_many_readers_follow_independently() -> None:
    log: EventLog[int] = EventLog()
    tasks = [asyncio.create_task(read_all(log, seq=start)) for start in range(5)]
    await settle()
    for value in range(10):
        log.append(value)
        if value % 3 == 0:
            await settle()
    log.close()
    for start, items in enumerate(await asyncio.gather(*tasks)):
        read = [entry for batch in items if not isinstance(batch, Gap) for entry in batch]
        assert read == [(seq, seq - 1) for seq in range(start + 1, 11)]


async def test_a_slow_reader_gets_fewer_larger_batches() -> None:
    log: EventLog[int] = EventLog()
    for value in range(10):
        log.append(value)
    log.close()
    assert [len(batch) for batch in await read_all(log) if isinstance(batch, list)] == [10]
    assert [len(batch) for batch in await read_all(log, limit=4) if isinstance(batch, list)] == [
        4,
        4,
        2,
    ]


async def test_a_reader_that_fell_behind_is_told_how_much_it_missed() -> None:
    log: EventLog[int] = EventLog(capacity=3)
    for value in range(10):
        log.append(value)
    log.close()
    assert await read_all(log, seq=2) == [Gap(missed=5, first_kept=8), [(8, 7), (9, 8), (10, 9)]]
    assert await read_all(log, seq=7) == [[(8, 7), (9, 8), (10, 9)]]
    assert await read_all(log, seq=10) == []


async def test_entries_lost_while_a_gap_is_told_are_a_second_gap() -> None:
    log: EventLog[int] = EventLog(capacity=2)
    for value in range(5):
        log.append(value)
    items = log.follow()
    assert await anext(items) == Gap(missed=3, first_kept=4)
    log.append(5)
    log.append(6)
    log.append(7)
    assert await anext(items) == Gap(missed=3, first_kept=7)
    assert await anext(items) == [(7, 6), (8, 7)]


async def test_a_reader_that_never_reads_holds_up_nobody() -> None:
    log: EventLog[int] = EventLog(capacity=10)
    stuck = Reader(log, 0, limit=1)
    log.append(0)
    await stuck.step()
    quick = asyncio.create_task(read_all(log))
    await settle()
    for value in range(1, 1000):
        log.append(value)
        if value % 5 == 0:
            await settle()
    log.close()
    batches = await quick
    assert [seq for batch in batches if isinstance(batch, list) for seq, _ in batch] == list(
        range(1, 1001)
    )
    await stuck.step()
    assert stuck.gaps == [Gap(missed=989, first_kept=991)]


async def test_a_cancelled_reader_leaves_nothing_behind() -> None:
    log: EventLog[int] = EventLog()
    gone = asyncio.create_task(read_all(log))
    stays = asyncio.create_task(read_all(log))
    await settle()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    log.append(1)
    log.close()
    assert await stays == [[(1, 1)]]


async def test_closing_an_empty_log_ends_waiting_readers() -> None:
    log: EventLog[int] = EventLog()
    waiting = asyncio.create_task(read_all(log))
    await settle()
    log.close()
    assert await waiting == []
    assert await read_all(log) == []


# --- waiting for a change


@pytest.mark.parametrize("within", [None, 60.0])
async def test_an_append_and_the_close_wake_who_waits_for_a_change(within: float | None) -> None:
    log: EventLog[int] = EventLog()
    one, two = (asyncio.create_task(log.changed(within)) for _ in range(2))
    await settle()
    log.append(1)
    assert await one is True
    assert await two is True
    third = asyncio.create_task(log.changed(within))
    await settle()
    assert not third.done()
    log.close()
    assert await third is True


async def test_waiting_for_a_change_can_end_without_one() -> None:
    log: EventLog[int] = EventLog()
    patient = asyncio.create_task(log.changed())
    assert await log.changed(within=0) is False
    assert not patient.done()
    log.append(1)
    assert await patient is True


@pytest.mark.parametrize("within", [None, 60.0])
async def test_a_closed_log_does_not_change_any_more(within: float | None) -> None:
    log: EventLog[int] = EventLog()
    log.close()
    assert await log.changed(within) is False


@pytest.mark.parametrize("seq", [-1, -99])
async def test_a_position_before_the_beginning_is_the_beginning(seq: int) -> None:
    log: EventLog[int] = EventLog()
    log.append(10)
    log.close()
    assert await read_all(log, seq=seq) == [[(1, 10)]]
    assert log.after(seq) == [(1, 10)]


# --- any order of events


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 7)),
        st.tuples(st.just("read"), st.integers(0, 2)),
    ),
    max_size=60,
)


@given(
    capacity=st.none() | st.integers(1, 5),
    steps=Steps,
    limits=st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(256)),
)
async def test_every_entry_comes_once_in_order_or_is_counted_in_a_gap(
    capacity: int | None, steps: list[tuple[str, int]], limits: tuple[int, int, int]
) -> None:
    log: EventLog[int] = EventLog(capacity)
    readers = [Reader(log, 0, limit) for limit in limits]
    for action, number in steps:
        if action == "append":
            for _ in range(number):
                log.append(log.last_seq * 2)
        else:
            await readers[number].step()
    log.close()
    for reader in readers:
        while not reader.ended:
            await reader.step()
        assert len(reader.seen) + sum(gap.missed for gap in reader.gaps) == log.last_seq
        assert all(value == (seq - 1) * 2 for seq, value in reader.seen)
        if capacity is None:
            assert reader.gaps == []
