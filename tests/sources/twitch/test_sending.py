"""Sending to the chat: what is sent, how fast, and what is held back or dropped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.twitch_account import Twitch, twitch
from tests.fakes.twitch_id import Account
from understudy.sources.twitch.errors import MissingScope, NotLoggedIn, NotSent, Refused
from understudy.sources.twitch.scopes import LOGIN_SCOPES
from understudy.sources.twitch.sending import (
    MODERATED_SECONDS,
    MODERATOR_LIMIT,
    VIEWER_LIMIT,
    WINDOW_SECONDS,
    ChatSender,
    Pace,
)

BOT = Account("cohost", "4242", LOGIN_SCOPES)


@asynccontextmanager
async def sending(
    folder: Path, account: Account | None = BOT, **options: Any
) -> AsyncIterator[tuple[ChatSender, Twitch]]:
    """A sender at work, in a time that passes by sleeping only."""
    async with twitch(folder, account) as world:
        world.api.users["cohost"] = "4242"
        sender = ChatSender(
            world.helix, world.auth, clock=world.time, sleep=world.time.sleep, **options
        )
        sender.start()
        try:
            yield sender, world
        finally:
            await sender.aclose()


def texts(world: Twitch) -> list[str]:
    return [sent["message"] for sent in world.api.sent]


async def test_a_message_is_sent_to_its_channel(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        assert await sender.send("Ana", "hi there") == ["sent-1"]
        assert world.api.sent == [
            {"broadcaster_id": "1001", "sender_id": "4242", "message": "hi there"}
        ]


async def test_a_long_reply_is_several_messages_in_order(tmp_path: Path) -> None:
    words = [f"word{number:04}" for number in range(120)]
    async with sending(tmp_path) as (sender, world):
        sent = await sender.send("ana", " ".join(words), reply_to="m-1")
        assert sent == ["sent-1", "sent-2"] + ["sent-3"] * (len(sent) - 2)
        assert " ".join(texts(world)).split() == words
        parents = [message.get("reply_parent_message_id") for message in world.api.sent]
        assert parents == ["m-1"] + [None] * (len(sent) - 1)


async def test_without_a_login_it_refuses_clearly(tmp_path: Path) -> None:
    async with sending(tmp_path, None) as (sender, world):
        expected = "nobody is logged in to Twitch, so the chat can only be read: log in first"
        with pytest.raises(NotLoggedIn, match=expected):
            await sender.send("ana", "hi")
        assert world.api.requests == []


async def test_without_the_scope_it_refuses_clearly(tmp_path: Path) -> None:
    async with sending(tmp_path, Account("cohost", "4242", ("user:read:chat",))) as (sender, _):
        with pytest.raises(MissingScope, match=r"does not allow to send to the chat"):
            await sender.send("ana", "hi")


async def test_what_twitch_does_not_show_is_told(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        world.api.drop = {"code": "msg_rejected", "message": "Held by AutoMod."}
        with pytest.raises(NotSent, match=r"did not show the message in ana \(Held by AutoMod.\)"):
            await sender.send("ana", "hi")
        world.api.drop = None
        # It was not shown, so to try again is no repetition.
        assert await sender.send("ana", "hi") == ["sent-1"]


async def test_errors_are_told_and_the_next_message_is_sent(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        with pytest.raises(Refused, match="knows no account named nobody"):
            await sender.send("nobody", "hi")
        with pytest.raises(NotSent, match="the message is empty"):
            await sender.send("ana", " \n ")
        assert await sender.send("ana", "hi") == ["sent-1"]
        assert texts(world) == ["hi"]


# --- repetition


async def test_the_same_text_is_held_back_for_half_a_minute(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        await sender.send("ana", "hydrate!")
        with pytest.raises(NotSent, match="less than 30 s ago: it was held back"):
            await sender.send("ana", "hydrate! ")
        await sender.send("ben", "hydrate!")
        world.time.now += WINDOW_SECONDS
        await sender.send("ana", "hydrate!")
        assert texts(world) == ["hydrate!"] * 3


# --- pace


async def most_in_a_window(sender: ChatSender, world: Twitch, count: int) -> int:
    """Send `count` messages; the most that arrived within any 30 s."""
    arrived: list[float] = []
    before = len(texts(world))
    for number in range(count):
        await sender.send("ana", f"message {number}")
        arrived.append(world.time())
    assert len(texts(world)) == before + count
    return max(sum(at <= other < at + WINDOW_SECONDS for other in arrived) for at in arrived)


async def test_a_viewer_sends_twenty_in_half_a_minute(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        assert await most_in_a_window(sender, world, 50) == VIEWER_LIMIT


async def test_a_moderator_sends_a_hundred_in_half_a_minute(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        world.api.moderated = ["7", "1001"]
        assert await most_in_a_window(sender, world, 130) == MODERATOR_LIMIT


async def test_the_owner_sends_as_a_moderator_does(tmp_path: Path) -> None:
    async with sending(tmp_path, Account("ana", "1001", LOGIN_SCOPES)) as (sender, world):
        assert await most_in_a_window(sender, world, 130) == MODERATOR_LIMIT


async def test_who_may_not_know_what_it_moderates_sends_as_a_viewer(tmp_path: Path) -> None:
    async with sending(tmp_path, Account("cohost", "4242", ("user:write:chat",))) as (
        sender,
        world,
    ):
        world.api.moderated = ["1001"]
        assert await most_in_a_window(sender, world, 30) == VIEWER_LIMIT


async def test_who_cannot_find_out_sends_as_a_viewer(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        world.api.moderated = ["1001"]
        # The number of the channel first, then what is moderated: the second question fails.
        await sender.send("ben", "the numbers are known now")
        await sender.send("ana", "of both")
        world.time.now += MODERATED_SECONDS
        world.api.faults.append((400, {}, "no"))
        assert await most_in_a_window(sender, world, 30) == VIEWER_LIMIT


@given(
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from([VIEWER_LIMIT, MODERATOR_LIMIT]))),
    st.floats(-1e9, 1e9),
)
def test_the_pace_is_kept_whatever_comes(acts: list[tuple[float, int]], start: float) -> None:
    now = start
    pace = Pace(lambda: now)
    sent: list[float] = []
    for pause, limit in acts * 4:
        now += pause / 40
        now += pace.wait(limit)
        pace.count()
        sent.append(now)
        within = sum(now - at < WINDOW_SECONDS - 1e-3 for at in sent)
        assert within <= limit


# --- the queue


async def test_when_too_many_wait_the_oldest_is_dropped_and_told(tmp_path: Path) -> None:
    async with sending(tmp_path, waiting=3) as (sender, world):
        world.ids.expire()
        world.ids.hold = asyncio.Event()
        first = asyncio.create_task(sender.send("ana", "first"))
        await world.ids.asked(2)
        later = [asyncio.create_task(sender.send("ana", f"later {n}")) for n in range(5)]
        done, _ = await asyncio.wait(later[:2])
        said = sorted(str(task.exception()) for task in done)
        assert said == [
            'the message "later 0" to ana was dropped: 3 newer ones wait',
            'the message "later 1" to ana was dropped: 3 newer ones wait',
        ]
        assert sender.dropped == 2
        world.ids.hold.set()
        assert await asyncio.gather(first, *later[2:]) == [[f"sent-{n}"] for n in range(1, 5)]
        assert texts(world) == ["first", "later 2", "later 3", "later 4"]


async def test_who_gives_up_waiting_is_passed_over(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        world.ids.expire()
        world.ids.hold = asyncio.Event()
        first = asyncio.create_task(sender.send("ana", "first"))
        await world.ids.asked(2)
        second = asyncio.create_task(sender.send("ana", "second"))
        third = asyncio.create_task(sender.send("ana", "third"))
        await asyncio.sleep(0)
        second.cancel()
        world.ids.hold.set()
        await asyncio.gather(first, third)
        assert texts(world) == ["first", "third"]


async def test_a_stop_tells_those_who_wait(tmp_path: Path) -> None:
    async with sending(tmp_path) as (sender, world):
        world.ids.expire()
        world.ids.hold = asyncio.Event()
        sends = [asyncio.create_task(sender.send("ana", f"message {n}")) for n in range(3)]
        await world.ids.asked(2)
        await sender.aclose()
        world.ids.hold.set()
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == [
            f'the message "message {n}" to ana was dropped: Understudy is stopping'
            for n in range(3)
        ]
        assert texts(world) == []
