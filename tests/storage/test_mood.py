"""Moods over time, in SQLite and PostgreSQL."""

from typing import Any

import pytest

from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.mood import MoodRollup, MoodRollups


def row(ts: int = 0, **fields: Any) -> MoodRollup:
    numbers = {"messages": 2, "negative": 1, "score": -0.5, "readings": 2, "value": 0.5}
    return MoodRollup(**{"step": 1, "channel": "ada", "ts": ts, **numbers, **fields})


async def test_what_is_added_is_summed_by_key(any_database: Database) -> None:
    store = MoodRollups(any_database)
    assert await store.load("ada", 1) == []
    await store.add([])
    await store.add([row(), row(1_000), row(step=60), row(channel="bob")])
    await store.add([row(), row()])
    assert await store.load("ada", 1) == [row().plus(row()).plus(row()), row(1_000)]
    assert await store.load("ada", 60) == [row(step=60)]
    assert await store.load("bob", 1) == [row(channel="bob")]
    assert await store.load("eve", 1) == []


async def test_numbers_may_be_taken_back(any_database: Database) -> None:
    store = MoodRollups(any_database)
    await store.add([row()])
    await store.add([row(messages=-1, negative=-1, score=0.5, readings=0, value=0.0)])
    assert await store.load("ada", 1) == [row(messages=1, negative=0, score=0.0)]


async def test_a_part_of_the_time_can_be_read(any_database: Database) -> None:
    store = MoodRollups(any_database)
    await store.add([row(ts) for ts in range(0, 10_000, 1_000)])
    found = await store.load("ada", 1, since=2_000, until=6_000)
    assert [r.ts for r in found] == [2_000, 3_000, 4_000, 5_000]
    assert [r.ts for r in await store.load("ada", 1, limit=2)] == [8_000, 9_000]
    assert await store.load("ada", 1, limit=-1) == []


async def test_old_rows_of_one_length_are_dropped(any_database: Database) -> None:
    store = MoodRollups(any_database)
    await store.add([row(0), row(1_000), row(2_000), row(0, step=60), row(0, channel="bob")])
    assert await store.prune(1, 2_000) == 3
    assert await store.prune(1, 2_000) == 0
    assert [r.ts for r in await store.load("ada", 1)] == [2_000]
    assert len(await store.load("ada", 60)) == 1


async def test_many_rows_are_one_transaction(any_database: Database) -> None:
    store = MoodRollups(any_database)
    rows = [row(ts * 1_000) for ts in range(1_200)]
    with pytest.raises(StorageError, match="refused the mood"):
        await store.add([*rows, row(channel="z", messages=2**63)])
    assert await store.load("ada", 1) == []
    await store.add(rows)
    assert len(await store.load("ada", 1)) == 1_200


async def test_names_no_database_takes_are_stored_all_the_same(any_database: Database) -> None:
    store = MoodRollups(any_database)
    await store.add([row(channel="a\x00b")])
    assert len(await store.load("a\x00b", 1)) == 1


def test_the_mood_is_the_mean_of_the_readings() -> None:
    assert row().mood == 0.25
    assert row(readings=0).mood is None
