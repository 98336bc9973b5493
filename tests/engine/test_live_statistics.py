"""Statistics of the chat that passes over the bus."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.waiting import until
from understudy.bus import Bus
from understudy.engine import live_statistics as module
from understudy.engine.clock import SimulatedClock
from understudy.engine.live_statistics import LiveStatistics
from understudy.events import ChatMessage, Moderation

START = 1_795_284_000_000


class Chat:
    """A bus, and the statistics of what is published on it at `clock`."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.clock = SimulatedClock(START)
        self.statistics = LiveStatistics(self.bus, bots=["nightbot"], clock=self.clock)

    async def say(self, text: str, channel: str = "ada", user: str = "kim") -> None:
        message = ChatMessage(id="m", channel=channel, ts=1, user=user, text=text)
        await self.bus.publish(message)

    def counted(self) -> dict[str, int]:
        return {each.channel: each.total.messages for each in self.statistics.figures()}


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    chat = Chat()
    chat.statistics.start()
    yield chat
    await chat.statistics.close()


async def test_each_channel_is_counted_by_itself(chat: Chat) -> None:
    await chat.say("hello")
    await chat.say("what is this?", user="lee")
    await chat.say("hello", channel="bob")
    await chat.say("buy", user="nightbot")
    await chat.bus.publish(Moderation(id="a", channel="cleo", ts=1, kind="clear"))
    await until(lambda: chat.counted() == {"ada": 2, "bob": 1})
    (ada,) = chat.statistics.figures("ada")
    assert (ada.channel, ada.since, ada.recent.chatters) == ("ada", START, 2)
    assert ada.rates.last_second == 2
    chat.clock.set(START + 10 * 60_000)
    (later,) = chat.statistics.figures("ada")
    assert (later.recent.messages, later.total.messages) == (0, 2)
    assert chat.statistics.figures("nobody") == []


async def test_the_channel_that_is_quiet_longest_gives_way(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHANNELS", 2)
    for channel in ("ada", "bob", "ada", "cleo"):
        await chat.say("hello", channel)
    await until(lambda: chat.counted() == {"ada": 2, "cleo": 1})


async def test_what_is_queued_is_counted_before_the_end(chat: Chat) -> None:
    for _ in range(100):
        await chat.say("hello")
    await chat.statistics.close()
    assert chat.counted() == {"ada": 100}
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "statistics"]


async def test_it_can_be_closed_without_a_start() -> None:
    await LiveStatistics(Bus()).close()
