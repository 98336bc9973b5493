"""Replies in Twitch's chat: which are sent, to what, and which are taken back."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.twitch_account import Twitch, twitch
from tests.fakes.twitch_id import Account
from tests.waiting import until
from understudy.bus import Bus
from understudy.events import ChatMessage, Moderation, Reply, StreamEvent
from understudy.outputs import chat
from understudy.outputs.chat import ChatOutput
from understudy.sources.twitch.moderating import ChatModerator
from understudy.sources.twitch.scopes import LOGIN_SCOPES
from understudy.sources.twitch.sending import VIEWER_LIMIT, ChatSender

BOT = Account("cohost", "4242", LOGIN_SCOPES)


@dataclass
class Stage:
    """A chat output at work, the bus it follows and the Twitch it sends to."""

    bus: Bus
    world: Twitch
    output: ChatOutput
    muted: bool = False

    async def write(self, id: str, user: str = "kim", **fields: Any) -> None:
        message = {"id": id, "channel": "ana", "ts": 1, "user": user, "text": "when?"}
        await self.bus.publish(ChatMessage(**(message | fields)))

    async def happen(self, id: str, user: str = "kim", **fields: Any) -> None:
        event = {"id": id, "channel": "ana", "ts": 1, "kind": "raid", "user": user}
        await self.bus.publish(StreamEvent(**(event | fields)))

    async def reply(self, to: str, text: str = "now", user: str = "kim", **fields: Any) -> None:
        values = {
            "id": f"r-{to}", "channel": "ana", "ts": 2, "turn": f"run-{to}", "session": "s",
            "user": user, "text": text, "status": "complete", "model": "m", "persona": "p",
            "in_reply_to": to,
        }  # fmt: skip
        await self.bus.publish(Reply(**(values | fields)))

    async def act(self, kind: Any, **fields: Any) -> None:
        act = Moderation(id=f"a-{kind}-{fields}", channel="ana", ts=3, kind=kind, **fields)
        await self.bus.publish(act)

    async def sent(self, count: int) -> list[tuple[str, str]]:
        """The text and the message it replies to of each message, as soon as there are `count`."""
        await until(lambda: len(self.world.api.sent) >= count)
        return [(m["message"], m.get("reply_parent_message_id", "")) for m in self.world.api.sent]

    async def deleted(self, count: int) -> list[str]:
        await until(lambda: len(self.world.api.deleted) >= count)
        return [query["message_id"][0] for query in self.world.api.deleted]

    async def followed(self) -> None:
        """Wait until the output has taken in all that happened."""
        (subscription,) = self.bus.subscriptions
        await until(lambda: not len(subscription))

    async def settled(self) -> list[tuple[str, str]]:
        """What was sent once the output has dealt with everything."""
        await self.write("last", user="zoe")
        await self.reply("last", "the end", user="zoe")
        await until(lambda: any(m["message"] == "the end" for m in self.world.api.sent))
        sent = await self.sent(1)
        return [each for each in sent if each[0] != "the end"]


@asynccontextmanager
async def staged(folder: Path, account: Account | None = BOT) -> AsyncIterator[Stage]:
    async with twitch(folder, account) as world:
        bus, time = Bus(), world.time
        sender = ChatSender(world.helix, world.auth, clock=time, sleep=time.sleep)
        sender.start()
        moderator = ChatModerator(world.helix, world.auth)
        stage: Stage
        output = ChatOutput(bus, sender, moderator, ["ana", "ben"], is_muted=lambda: stage.muted)
        stage = Stage(bus, world, output)
        output.start()
        try:
            yield stage
        finally:
            await output.close()
            await sender.aclose()


async def test_a_reply_answers_its_message(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.write("m-1")
        await stage.reply("m-1")
        assert await stage.sent(1) == [("now", "m-1")]
        assert stage.output.problems() == []


async def test_what_was_said_until_it_was_interrupted_is_said(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.write("m-1")
        await stage.reply("m-1", "I think", status="stopped")
        await stage.reply("m-2", "", status="stopped")
        await stage.reply("m-3", " ", status="failed")
        assert await stage.settled() == [("I think", "m-1")]


async def test_events_are_answered_without_a_thread_unless_they_are_messages(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        await stage.happen("e-1")
        await stage.happen("e-2", kind="cheer", amount=100)
        await stage.reply("e-1", "thank you")
        await stage.reply("e-2", "thanks for the bits")
        assert await stage.sent(2) == [("thank you", ""), ("thanks for the bits", "e-2")]


async def test_other_channels_and_platforms_are_left_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.write("m-1", channel="rehearsal")
        await stage.reply("m-1", channel="rehearsal")
        await stage.write("m-2", platform="youtube")
        await stage.reply("m-2", "on YouTube")
        await stage.reply("m-3", "to something unknown")
        assert await stage.settled() == [("to something unknown", "")]


async def test_a_muted_cohost_says_nothing_not_even_what_waits(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.world.api.hold.clear()
        await stage.write("m-1")
        await stage.write("m-2", user="lee")
        await stage.reply("m-1", "first " * 150)
        await stage.reply("m-2", "second", user="lee")
        await until(lambda: stage.world.api.held)
        stage.muted = True
        await stage.reply("m-1", "third")
        await stage.followed()
        stage.world.api.hold.set()
        await until(lambda: not stage.output.busy)
        stage.muted = False
        (first,) = await stage.settled()
        assert first[0].startswith("first"), "what was under way is there, and no more"
        assert stage.output.problems() == []


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("delete", {"message_id": "m-1"}),
        ("timeout", {"user": "Kim"}),
        ("ban", {"user": "kim"}),
        ("clear", {}),
    ],
)
async def test_a_reply_to_a_removed_message_is_not_sent(
    tmp_path: Path, kind: str, fields: dict[str, str]
) -> None:
    async with staged(tmp_path) as stage:
        await stage.write("m-1")
        await stage.act(kind, **fields)
        await stage.reply("m-1", status="stopped")
        # Of somebody who writes again, or after the chat was cleared.
        await stage.write("m-2")
        await stage.reply("m-2", "welcome back")
        assert await stage.settled() == [("welcome back", "m-2")]


async def test_a_reply_is_deleted_when_its_message_is(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        for id, user in (("m-1", "kim"), ("m-2", "lee"), ("m-3", "kim")):
            await stage.write(id, user=user)
            await stage.reply(id, f"to {id}", user=user)
        await stage.sent(3)
        await until(lambda: not stage.output.busy)
        await stage.act("delete", message_id="m-2")
        assert await stage.deleted(1) == ["sent-2"]
        await stage.act("timeout", user="kim")
        assert sorted(await stage.deleted(3)) == ["sent-1", "sent-2", "sent-3"]
        await stage.act("ban", user="kim")
        await stage.act("clear")
        await stage.settled()
        assert len(stage.world.api.deleted) == 3, "none twice"


async def test_a_message_that_is_deleted_while_its_reply_is_sent(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.world.api.hold.clear()
        await stage.write("m-1")
        await stage.reply("m-1", "word " * 250)
        await until(lambda: stage.world.api.held)
        await stage.act("delete", message_id="m-1")
        await stage.followed()
        stage.world.api.hold.set()
        assert await stage.deleted(1) == ["sent-1"]
        assert len(stage.world.api.sent) == 1, "the rest of it is not said"
        assert stage.output.problems() == []


async def test_without_the_right_to_delete_that_is_told(tmp_path: Path) -> None:
    scopes = tuple(s for s in LOGIN_SCOPES if s != "moderator:manage:chat_messages")
    async with staged(tmp_path, Account("cohost", "4242", scopes)) as stage:
        await stage.write("m-1")
        await stage.reply("m-1")
        await until(lambda: stage.world.api.sent and not stage.output.busy)
        await stage.act("delete", message_id="m-1")
        await until(stage.output.problems)
        (problem,) = stage.output.problems()
        assert problem.startswith("a reply to a removed message stays in the chat: ")
        assert "moderator:manage:chat_messages" in problem


async def test_failures_are_told_once_and_until_one_is_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, chat.__name__)
    async with staged(tmp_path) as stage:
        stage.world.api.drop = {"code": "msg_rejected", "message": "Held by AutoMod."}
        for number in range(3):
            await stage.write(f"m-{number}")
            await stage.reply(f"m-{number}", f"reply {number}")
        await until(lambda: stage.output.problems() and not stage.output.busy)
        (problem,) = stage.output.problems()
        assert problem.startswith("the newest reply is not in the chat of ana: ")
        assert "Held by AutoMod" in problem
        assert len([r for r in caplog.records if r.name == chat.__name__]) == 1
        stage.world.api.drop = None
        await stage.settled()
        await until(lambda: not stage.output.busy)
        assert stage.output.problems() == []


async def test_a_missing_login_is_not_told_here(tmp_path: Path) -> None:
    async with staged(tmp_path, None) as stage:
        await stage.write("m-1")
        await stage.reply("m-1")
        await stage.followed()
        await until(lambda: not stage.output.busy)
        assert stage.output.problems() == []


async def test_a_flood_of_replies_keeps_to_twitch_s_limit(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        for number in range(VIEWER_LIMIT + 5):
            await stage.write(f"m-{number}")
            await stage.reply(f"m-{number}", f"reply {number}")
            await stage.sent(number + 1)
        assert max(stage.world.time.slept) > 0
        assert (await stage.sent(25))[-1] == ("reply 24", "m-24")


async def test_what_is_said_last_is_still_sent(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.write("m-1")
        await stage.reply("m-1", "bye", status="stopped")
        await stage.output.close()
        assert [m["message"] for m in stage.world.api.sent] == ["bye"]


async def test_a_stop_does_not_wait_for_a_twitch_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "LAST_WORDS_SECONDS", 0.05)
    async with staged(tmp_path) as stage:
        stage.world.api.hold.clear()
        await stage.write("m-1")
        await stage.reply("m-1")
        await until(lambda: stage.world.api.held)
        await stage.output.close()
        assert not stage.output.busy
        stage.world.api.hold.set()
