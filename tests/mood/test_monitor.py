import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from tests.mood.mood_data import START
from understudy.bus import Bus
from understudy.events import ChatMessage, Event, Moderation, MoodReading, now_ms
from understudy.mood.channel_words import ChannelWords
from understudy.mood.classifier import Sentiment
from understudy.mood.curve import mood_curve
from understudy.mood.errors import MoodError
from understudy.mood.history import MoodHistory
from understudy.mood.lexicon import Lexicon
from understudy.mood.monitor import MoodMonitor
from understudy.sources.recordings import read_recording
from understudy.sources.rehearsal import sample_path
from understudy.storage.mood import MoodRollup

Monitor = Callable[..., MoodMonitor]


class Rows:
    """A store in memory."""

    def __init__(self) -> None:
        self.rows: list[MoodRollup] = []

    async def add(self, rows: Sequence[MoodRollup]) -> None:
        self.rows += rows

    async def prune(self, step: int, before: int) -> int:
        return 0


class Judge:
    """A classifier that finds everything bad, or fails."""

    name = "judge"

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.asked: list[str] = []

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        self.asked += texts
        if self.fails:
            raise MoodError("the judge is out")
        return [Sentiment("negative", -1.0) for _ in texts]

    async def aclose(self) -> None:
        pass


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
async def monitor(bus: Bus) -> AsyncIterator[Monitor]:
    """Makes started monitors and closes them."""
    made: list[MoodMonitor] = []

    def make(words: ChannelWords | None = None, **options) -> MoodMonitor:
        made.append(MoodMonitor(bus, words or ChannelWords(None), **options))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        await one.close()


def live(number: int, text: str, **fields) -> ChatMessage:
    return ChatMessage(
        id=f"m{number}", channel="ada", ts=now_ms(), user=f"v{number}", text=text, **fields
    )


async def read(subscription, count: int = 1) -> list[MoodReading]:
    found: list[MoodReading] = []
    while len(found) < count:
        found += await subscription.batch()
    return found


async def test_a_message_becomes_a_reading(bus: Bus, monitor: Monitor) -> None:
    readings = bus.subscribe("test", MoodReading)
    one = monitor()
    assert one.reading("ada") is None
    await bus.publish(live(1, "PogChamp"))
    [reading] = await read(readings)
    assert (reading.channel, reading.label, reading.count) == ("ada", "neutral", 1)
    assert reading.value > 0.1
    assert one.reading("ada") == reading


async def test_while_nobody_writes_the_mood_drifts_back(bus: Bus, monitor: Monitor) -> None:
    readings = bus.subscribe("test", MoodReading)
    monitor()
    await bus.publish(live(1, "PogChamp"))
    first, second = await read(readings, 2)
    assert 0 < second.value < first.value
    assert second.ts - first.ts >= 250


async def test_a_channel_has_its_own_words(bus: Bus, monitor: Monitor, tmp_path: Path) -> None:
    (tmp_path / "ada.yaml").write_text("words: {glorp: -1}")
    readings = bus.subscribe("test", MoodReading)
    monitor(ChannelWords(tmp_path))
    await bus.publish(live(1, "glorp"))
    [reading] = await read(readings)
    assert reading.message < -0.5


async def test_moderators_take_back_from_the_mood_and_its_history(
    bus: Bus, monitor: Monitor
) -> None:
    rows = Rows()
    history = MoodHistory(rows)
    readings = bus.subscribe("test", MoodReading)
    monitor(history=history)
    await bus.publish(live(1, "so boring"))
    [reading] = await read(readings)
    assert reading.value < 0
    await bus.publish(
        Moderation(id="x", channel="ada", ts=now_ms(), kind="delete", message_id="m1")
    )
    while (await read(readings))[-1].value != 0.0:
        pass
    await history.save()
    hours = [row for row in rows.rows if row.step == 3_600]
    assert sum(row.messages for row in hours) == 0
    assert sum(row.readings for row in hours) >= 2


async def test_a_classifier_judges_only_what_counts(bus: Bus, monitor: Monitor) -> None:
    judge = Judge()
    readings = bus.subscribe("test", MoodReading)
    monitor(classifier=judge)
    await bus.publish(live(1, "!so kim"))
    await bus.publish(live(2, "PogChamp"))
    [reading] = await read(readings)
    assert reading.message == -1.0
    assert judge.asked == ["PogChamp"]


async def test_the_lists_stand_in_for_a_classifier_that_fails(
    bus: Bus, monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    readings = bus.subscribe("test", MoodReading)
    monitor(classifier=Judge(fails=True))
    for number in range(3):
        await bus.publish(live(number, "PogChamp"))
        await asyncio.sleep(0)
    [*_, reading] = await read(readings)
    assert reading.message > 0.5
    assert [r.message for r in caplog.records] == [
        "the word lists stand in for judge: the judge is out"
    ]


async def test_a_recording_is_read_as_if_it_were_live(bus: Bus) -> None:
    events = [e for e in read_recording(sample_path()) if isinstance(e, Event)][:200]
    readings = bus.subscribe("test", MoodReading, capacity=10_000)
    monitor = MoodMonitor(bus, ChannelWords(None))
    for event in events:
        await bus.publish(event)
    monitor.start()
    await monitor.close()
    found = await readings.batch(10_000)
    assert found == list(mood_curve(events, Lexicon()))


async def test_many_channels_are_told_apart_and_bounded(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.mood.monitor.MAX_CHANNELS", 2)
    monitor = MoodMonitor(bus, ChannelWords(None))
    for number, channel in enumerate("abc"):
        await bus.publish(
            ChatMessage(id=str(number), channel=channel, ts=START, user="kim", text="nice")
        )
    monitor.start()
    await monitor.close()
    assert [monitor.reading(channel) is not None for channel in "abc"] == [False, True, True]


async def test_a_monitor_that_was_not_started_can_be_closed(bus: Bus) -> None:
    await MoodMonitor(bus, ChannelWords(None)).close()
    assert bus.subscriptions == ()
