"""The switches for all channels at once."""

import asyncio

import pytest

from tests.engine.conftest import Engine
from understudy.config import Settings
from understudy.engine.channel import Channel
from understudy.engine.channels import Channels
from understudy.events import ChatMessage, Decision, Event


async def open_channel(engine: Engine, name: str) -> tuple[Channel, list[Event]]:
    published: list[Event] = []

    async def publish(event: Event) -> None:
        await asyncio.sleep(0)
        published.append(event)

    channel = Channel(name, Settings(), engine.turns, publish)
    await engine.sessions.get_or_create(channel.session, "chat", "default")
    return channel, published


async def say(channel: Channel, id: str) -> None:
    text = "undy, hello"
    await channel.receive(ChatMessage(id=id, channel=channel.name, ts=1, user=id, text=text))


def reasons(published: list[Event]) -> list[str]:
    return [event.reason for event in published if isinstance(event, Decision)]


async def test_a_name_is_open_once(engine: Engine) -> None:
    channels = Channels()
    one, _ = await open_channel(engine, "one")
    twin, _ = await open_channel(engine, "one")
    await channels.add(one)
    with pytest.raises(ValueError, match="channel one is open already: stop it first"):
        await channels.add(twin)
    assert channels.names() == ["one"]
    await channels.remove(twin)
    assert channels.names() == ["one"], "only the channel itself gives its name back"
    await channels.remove(one)
    await channels.remove(one)
    assert channels.names() == []


async def test_muting_reaches_every_channel_and_those_opened_later(engine: Engine) -> None:
    channels = Channels()
    one, one_said = await open_channel(engine, "one")
    await channels.add(one)
    await channels.mute(True)
    late, late_said = await open_channel(engine, "late")
    await channels.add(late)
    await say(one, "m1")
    await say(late, "m2")
    assert (reasons(one_said), reasons(late_said)) == (["muted"], ["muted"])
    await channels.mute(False)
    await say(late, "m3")
    assert reasons(late_said) == ["muted", "mention"]
    assert channels.skip() == 1
    assert channels.skip() == 0, "the reply is ending already"
    await channels.close()


async def test_channels_may_come_and_go_while_all_are_muted(engine: Engine) -> None:
    channels = Channels()
    opened = [await open_channel(engine, f"c{number}") for number in range(4)]
    for channel, _ in opened:
        await channels.add(channel)
        await say(channel, f"{channel.name}-1")
        await say(channel, f"{channel.name}-2")
    muting = asyncio.create_task(channels.mute(True))
    await asyncio.sleep(0)
    await channels.remove(opened[-1][0])
    await muting
    for _, published in opened:
        assert reasons(published)[0] == "mention"
        assert len(reasons(published)) == 2


async def test_closing_closes_every_channel(engine: Engine) -> None:
    channels = Channels()
    for name in ("one", "two"):
        await channels.add((await open_channel(engine, name))[0])
    await channels.close()
    assert channels.names() == []
