"""Events of live sources find their channel, which opens once and takes one at a time."""

import asyncio

import pytest

from tests.engine.conftest import Engine
from understudy.engine import live_channels as module
from understudy.engine.channel import Channel
from understudy.engine.channels import Channels
from understudy.engine.live_channels import ChannelRefused, LiveChannels
from understudy.events import ChatMessage, Decision, Event


class House:
    """Live channels over a real engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.channels = Channels()
        self.live = LiveChannels(self.channels, self.make)
        self.made: list[str] = []
        self.published: list[Event] = []

    async def make(self, name: str) -> Channel:
        self.made.append(name)
        await asyncio.sleep(0)
        return Channel(name, self.engine.settings, self.engine.turns, self.publish)

    async def publish(self, event: Event) -> None:
        await asyncio.sleep(0)
        self.published.append(event)


@pytest.fixture
def house(engine: Engine) -> House:
    return House(engine)


def chat(number: int, channel: str = "harbor") -> ChatMessage:
    return ChatMessage(id=f"m{number}", channel=channel, ts=number, user=f"u{number}", text="yo")


async def test_a_channel_opens_with_its_first_event(house: House) -> None:
    await house.live.receive(chat(1))
    await house.live.receive(chat(2, "lighthouse"))
    await house.live.open("lighthouse")
    assert house.made == house.live.names() == house.channels.names() == ["harbor", "lighthouse"]
    assert [event.channel for event in house.published] == ["harbor"] * 2 + ["lighthouse"] * 2
    await house.channels.close()


async def test_events_of_several_sources_are_handled_one_after_another(house: House) -> None:
    await asyncio.gather(*(house.live.receive(chat(number)) for number in range(20)))
    assert house.made == ["harbor"]
    # Each message is followed by its own decision: none came in between.
    pairs = list(zip(house.published[::2], house.published[1::2], strict=True))
    assert len(pairs) == 20
    for message, decision in pairs:
        assert isinstance(decision, Decision)
        assert decision.message_id == message.id
    await house.channels.close()


async def test_a_muted_cohost_is_mute_in_new_channels(house: House) -> None:
    await house.channels.mute(True)
    await house.live.receive(chat(1))
    assert isinstance(decision := house.published[-1], Decision)
    assert decision.reason == "muted"
    await house.channels.close()


async def test_a_channel_that_is_rehearsed_is_refused(house: House) -> None:
    await house.channels.add(await house.make("harbor"))
    with pytest.raises(ChannelRefused, match="open already: stop it first"):
        await house.live.receive(chat(1))
    await house.live.receive(chat(2, "lighthouse"))
    await house.channels.close()


async def test_not_any_number_of_channels_opens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHANNELS", 2)
    for name in ("one", "two"):
        await house.live.open(name)
    with pytest.raises(ChannelRefused, match="2 channels are open"):
        await house.live.receive(chat(1, "three"))
    await house.live.receive(chat(2, "one"))
    await house.channels.close()
