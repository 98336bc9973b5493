import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.mood.mood_data import START
from understudy.events import MoodReading
from understudy.mood import rollups
from understudy.mood.history import RETENTION, MoodHistory
from understudy.mood.rollups import HOUR, MINUTE, SECOND, Rollups
from understudy.storage.engine import Database
from understudy.storage.errors import LogUnavailable
from understudy.storage.mood import MoodRollup, MoodRollups

NOW = START - START % 3_600_000


def reading(value: float, ts: int = NOW) -> MoodReading:
    return MoodReading(id="r", channel="ada", ts=ts, value=value, label="neutral", intensity=0.5)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/a.db")
    yield opened
    await opened.close()


class Unwell:
    """A store that refuses `failures` times, then hands on to a good one."""

    def __init__(self, store: MoodRollups, failures: int) -> None:
        self.store, self.failures = store, failures
        self.pruned: list[tuple[int, int]] = []

    async def add(self, rows: Sequence[MoodRollup]) -> None:
        self._refuse()
        await self.store.add(rows)

    async def prune(self, step: int, before: int) -> int:
        self._refuse()
        self.pruned.append((step, before))
        return await self.store.prune(step, before)

    def _refuse(self) -> None:
        if self.failures:
            self.failures -= 1
            raise LogUnavailable("the disk is full")


async def test_messages_and_readings_are_summed_by_second_minute_and_hour(
    database: Database,
) -> None:
    store = MoodRollups(database)
    history = MoodHistory(store)
    history.start()
    history.count("ada", 0.9, NOW + 100)
    history.count("ada", -0.9, NOW + 900)
    history.count("ada", 0.1, NOW + 1_000)
    history.count("bob", 0.1, NOW)
    history.read(reading(0.4))
    history.read(reading(0.2, NOW + 61_000))
    await history.close()
    seconds = await store.load("ada", SECOND)
    assert [(r.ts - NOW, r.messages, r.negative, r.positive) for r in seconds] == [
        (0, 2, 1, 1),
        (1_000, 1, 0, 0),
        (61_000, 0, 0, 0),
    ]
    minutes = await store.load("ada", MINUTE)
    assert [(r.ts - NOW, r.messages, r.readings) for r in minutes] == [(0, 3, 1), (60_000, 0, 1)]
    [hour] = await store.load("ada", HOUR)
    assert (hour.messages, hour.readings) == (3, 2)
    assert hour.score == pytest.approx(0.1)
    assert hour.mood == pytest.approx(0.3)
    assert hour.intensity == pytest.approx(1.0)


async def test_what_was_taken_back_is_uncounted_after_it_was_stored(database: Database) -> None:
    store = MoodRollups(database)
    history = MoodHistory(store)
    history.count("ada", -0.9, NOW)
    history.count("ada", 0.9, NOW)
    await history.save()
    history.uncount("ada", -0.9, NOW)
    await history.save()
    [hour] = await store.load("ada", HOUR)
    assert (hour.messages, hour.negative, hour.positive) == (1, 0, 1)
    assert hour.score == pytest.approx(0.9)


async def test_a_channel_that_is_rehearsed_leaves_no_trace(database: Database) -> None:
    store = MoodRollups(database)
    history = MoodHistory(store, keeps=lambda channel: channel != "ada")
    for channel in ("ada", "bob"):
        history.count(channel, 0.9, NOW)
        history.count(channel, 0.9, NOW)
        history.uncount(channel, 0.9, NOW)
    history.read(reading(0.4))
    await history.save()
    assert await store.load("ada", HOUR) == []
    [hour] = await store.load("bob", HOUR)
    assert hour.messages == 1


async def test_nothing_is_lost_while_the_disk_refuses(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unwell(MoodRollups(database), failures=2)
    history = MoodHistory(store)
    for _ in range(3):
        history.count("ada", 0.9, NOW)
        await history.save()
    [hour] = await store.store.load("ada", HOUR)
    assert hour.messages == 3
    assert history.last_error == ""
    assert [record.message for record in caplog.records] == [
        "the mood is not stored yet: the disk is full"
    ]


async def test_old_rows_are_dropped(database: Database) -> None:
    store = Unwell(MoodRollups(database), failures=0)
    now = NOW + int(RETENTION[SECOND] * 1000) + 5_000
    history = MoodHistory(store, now=lambda: now)
    history.count("ada", 0.5, NOW)
    history.count("ada", 0.5, now)
    await history.save()
    store.failures = 1
    await history.prune()
    assert store.pruned == []
    await history.prune()
    assert len(await store.store.load("ada", SECOND)) == 1
    assert len(await store.store.load("ada", MINUTE)) == 2
    assert [step for step, _ in store.pruned] == [SECOND, MINUTE, HOUR]


async def test_it_stores_by_itself(database: Database) -> None:
    stored = asyncio.Event()

    class Told(MoodRollups):
        async def add(self, rows: Sequence[MoodRollup]) -> None:
            await super().add(rows)
            stored.set()

    history = MoodHistory(Told(database), save_seconds=0.01)
    history.start()
    history.count("ada", 0.5, NOW)
    await stored.wait()
    await history.close()


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "MAX_WAITING", 100)
    waiting = Rollups()
    for number in range(500):
        waiting.count("ada", 0.5, NOW + number * 1_000)
    assert len(waiting) <= 100
    assert waiting.dropped
    rows = waiting.take()
    assert sum(row.messages for row in rows if row.step == HOUR) == 500
    assert max(row.ts for row in rows if row.step == SECOND) == NOW + 499_000
    assert len(waiting) == 0
