"""Discord: the bot that discord.py really runs, against a gateway on a loopback port."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

from understudy.events import ChatMessage, Event, Moderation

with warnings.catch_warnings():
    # Its voice part imports a module that Python 3.13 no longer has.
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("discord", reason="the extra `discord` is not installed")

from tests.fakes.discord_gateway import (
    BOT,
    CHAT,
    GUILD,
    KIM,
    MODERATORS,
    OTHER,
    OWNER,
    TOKEN,
    TS,
    FakeDiscord,
    member,
    message,
    snowflake,
)
from understudy.sources import discord as source
from understudy.sources.discord import DiscordChat


class Listening:
    """A running source and what it published."""

    def __init__(self, token: str = TOKEN) -> None:
        self.chat = DiscordChat(token, {int(CHAT): "ana"})
        self.events: list[Event] = []
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(self.chat.run(self._publish), name="Discord chat")

    async def heard(self, count: int) -> list[Event]:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.events) >= count)
        return self.events

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _publish(self, event: Event) -> None:
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()


@pytest.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as server:
        yield server


@pytest.fixture
async def listening(discord: FakeDiscord) -> AsyncIterator[Listening]:
    listening = Listening()
    async with asyncio.timeout(10):
        await discord.ready.wait()
    yield listening
    await listening.stop()


async def say(discord: FakeDiscord, *payloads: dict[str, Any]) -> None:
    for payload in payloads:
        await discord.dispatch("MESSAGE_CREATE", payload)


async def test_a_message(discord: FakeDiscord, listening: Listening) -> None:
    mention = {"mentions": [OWNER | {"member": member(OWNER)}]}
    await say(discord, message(1, f"hi <@{OWNER['id']}> 👋", **mention))
    (event,) = await listening.heard(1)
    assert event == ChatMessage(
        id=snowflake(1),
        channel="ana",
        ts=TS,
        user="kim",
        name="Kim ✨",
        text="hi @Ana 👋",
        platform="discord",
        tags={"user-id": KIM["id"], "text-channel": "stream-chat"},
    )
    assert listening.chat.describe() == "Discord, text channels: 1 (connected)"
    assert listening.chat.problems() == []


async def test_it_asks_for_no_more_than_it_needs(
    discord: FakeDiscord, listening: Listening
) -> None:
    guilds, moderation, messages, content = 1 << 0, 1 << 2, 1 << 9, 1 << 15
    assert discord.identified[0]["intents"] == guilds | moderation | messages | content


async def test_standing(discord: FakeDiscord, listening: Listening) -> None:
    booster = member(KIM) | {"premium_since": "2026-01-01T00:00:00+00:00"}
    await say(
        discord,
        message(1, "mine", OWNER),
        message(2, "order!", KIM, member=member(KIM, MODERATORS)),
        message(3, "boosted", KIM, member=booster),
        message(4, "hi"),
    )
    events = await listening.heard(4)
    roles = [event.role for event in events if isinstance(event, ChatMessage)]
    assert roles == ["streamer", "moderator", "subscriber", "viewer"]


async def test_a_reply(discord: FakeDiscord, listening: Listening) -> None:
    original = message(1, "who asks?", OWNER)
    reference = {"message_id": snowflake(1), "channel_id": CHAT, "guild_id": GUILD, "type": 0}
    reply = {"type": 19, "message_reference": reference}
    await say(
        discord,
        message(2, "me", referenced_message=original, **reply),
        message(3, "what is gone", referenced_message=None, **reply),
    )
    first, second = await listening.heard(2)
    assert isinstance(first, ChatMessage)
    assert (first.reply_to, first.reply_to_user) == (snowflake(1), "ana")
    assert isinstance(second, ChatMessage)
    assert (second.reply_to, second.reply_to_user) == (snowflake(1), "")


async def test_what_is_not_heard(discord: FakeDiscord, listening: Listening) -> None:
    await say(
        discord,
        message(1, "I am a bot", BOT | {"id": snowflake(3)}),
        message(2, "my own words", BOT),
        message(3, "a hook's", KIM, webhook_id=snowflake(9)),
        message(4, "elsewhere", channel_id=OTHER),
        message(5, "", KIM, attachments=[]),
        message(6, "has joined", KIM, type=7),
        message(7, "at last"),
    )
    events = await listening.heard(1)
    assert [event.id for event in events] == [snowflake(7)]


async def test_what_moderators_do(discord: FakeDiscord, listening: Listening) -> None:
    place = {"channel_id": CHAT, "guild_id": GUILD}
    await discord.dispatch("MESSAGE_DELETE", {"id": snowflake(1), **place})
    await discord.dispatch("MESSAGE_DELETE", {"id": snowflake(9), **place, "channel_id": OTHER})
    await discord.dispatch("MESSAGE_DELETE_BULK", {"ids": [snowflake(3), snowflake(2)], **place})
    await discord.dispatch("GUILD_BAN_ADD", {"guild_id": GUILD, "user": KIM})
    events = await listening.heard(4)
    acts = [
        (event.kind, event.message_id or event.user)
        for event in events
        if isinstance(event, Moderation)
    ]
    deletes = [("delete", snowflake(number)) for number in (1, 2, 3)]
    assert acts == [*deletes, ("ban", "kim")]
    assert {event.channel for event in events} == {"ana"}


async def test_order_is_kept(discord: FakeDiscord, listening: Listening) -> None:
    await say(discord, *(message(number, f"number {number}") for number in range(1, 301)))
    events = await listening.heard(300)
    assert [event.id for event in events] == [snowflake(number) for number in range(1, 301)]


async def test_a_lost_connection_loses_nothing(discord: FakeDiscord, listening: Listening) -> None:
    await say(discord, message(1, "one"))
    await listening.heard(1)
    discord.ready.clear()
    await discord.cut()
    await say(discord, message(2, "two"))
    events = await listening.heard(2)
    assert [event.id for event in events] == [snowflake(1), snowflake(2)]
    assert discord.resumed == 1


async def test_what_comes_too_fast_is_dropped_and_told(
    discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "QUEUE_EVENTS", 2)
    chat = DiscordChat(TOKEN, {int(CHAT): "ana"})
    for number in range(5):
        chat.remove(int(CHAT), number)
    assert chat.problems() == ["Discord: 3 events came too fast and were dropped"]


async def test_a_token_that_is_not_accepted(discord: FakeDiscord) -> None:
    listening = Listening("wrong.token.x")
    async with asyncio.timeout(10):
        await listening.task
    assert listening.chat.problems() == [
        "Discord: the bot's token is not accepted: check discord.token"
    ]


async def test_a_bot_that_may_not_read(discord: FakeDiscord) -> None:
    discord.close_code = 4014
    listening = Listening()
    async with asyncio.timeout(10):
        await listening.task
    assert "Message Content Intent" in listening.chat.problems()[0]


async def test_nobody_there_is_told_and_tried_again(
    discord: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from discord.http import Route

    monkeypatch.setattr(source, "LONGEST_WAIT_SECONDS", 0.001)
    with monkeypatch.context() as away:
        away.setattr(Route, "BASE", "http://127.0.0.1:9")
        listening = Listening()
        async with asyncio.timeout(10):
            while not listening.chat.problems():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)
    assert "cannot be reached" in listening.chat.problems()[0]
    async with asyncio.timeout(10):
        await discord.ready.wait()
    await say(discord, message(1, "hi"))
    await listening.heard(1)
    assert listening.chat.problems() == []
    await listening.stop()
