"""The Twitch account in the whole program: two ways of reading at once, and replies in the chat."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.twitch_account import store
from tests.fakes.twitch_eventsub import TwitchEventSubServer
from tests.fakes.twitch_helix import TwitchHelixServer
from tests.fakes.twitch_id import CLIENT_ID, Account, TwitchIdServer
from tests.fakes.twitch_irc import TwitchIrcServer
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.app import Application
from understudy.bus import Subscription
from understudy.config import SettingsError
from understudy.events import ChatMessage, Decision, Event, Moderation, Reply
from understudy.sources.twitch.scopes import LOGIN_SCOPES

BOT = Account("cohost_bot", "4242", LOGIN_SCOPES)
STREAMER = Account("mara", "71092938", LOGIN_SCOPES)


@dataclass
class Stage:
    """The program, the Twitch it reads and writes, and all events since the start."""

    server: Running
    ids: TwitchIdServer
    api: TwitchHelixServer
    irc: TwitchIrcServer
    eventsub: TwitchEventSubServer
    events: list[Event]

    @property
    def problems(self) -> list[str]:
        return self.server.application.services.problems()

    def seen(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self) -> list[str]:
        return [e.text for e in self.seen(ChatMessage) if isinstance(e, ChatMessage)]

    def say(self, text: str, id: str, user: str = "ana", **tags: str) -> None:
        """Somebody writes, as IRC tells it."""
        extra = "".join(f";{name.replace('_', '-')}={value}" for name, value in tags.items())
        self.irc.say(f"@id={id};room-id=71092938{extra} :{user}!{user}@x PRIVMSG #mara :{text}")

    async def notify(self, text: str, id: str, user: str = "ana") -> None:
        """Somebody writes, as EventSub tells it."""
        event = {
            "broadcaster_user_id": "71092938", "broadcaster_user_login": "mara",
            "chatter_user_id": "1", "chatter_user_login": user, "chatter_user_name": user,
            "message_id": id, "message": {"text": text, "fragments": []}, "badges": [],
        }  # fmt: skip
        await self.eventsub.notify("channel.chat.message", event)

    async def heard(self, *texts: str) -> None:
        """Wait for messages; they are all there are."""
        await until(lambda: set(texts) <= set(self.texts()))
        assert self.texts() == list(texts)

    async def reason(self, id: str) -> str:
        """Why a message was answered or not."""

        def decisions() -> list[Decision]:
            found = [e for e in self.seen(Decision) if isinstance(e, Decision)]
            return [decision for decision in found if decision.message_id == id]

        await until(decisions)
        (decision,) = decisions()
        return decision.reason


@asynccontextmanager
async def staged(folder: Path, account: Account | None = BOT, **flags: Any) -> AsyncIterator[Stage]:
    async with (
        TwitchIdServer() as ids,
        TwitchEventSubServer() as eventsub,
        TwitchHelixServer(ids, eventsub) as api,
        TwitchIrcServer() as irc,
    ):
        api.users = {"mara": "71092938", "cohost_bot": "4242", "ana": "1"}
        if account is not None:
            store(folder / "twitch.token", ids, account, time.time)
        twitch = {
            "twitch__channels": ["Mara"], "twitch__client_id": CLIENT_ID,
            "twitch__irc_url": irc.tcp_url, "twitch__id_url": ids.origin,
            "twitch__helix_url": api.url, "twitch__eventsub_url": eventsub.url,
            "director__cooldown": 0, "director__viewer_cooldown": 0,
        }  # fmt: skip
        async with running(settings_for(folder, **(twitch | flags))) as server:
            bus = server.application.services.bus
            subscription, events = bus.subscribe("test"), list[Event]()
            collecting = asyncio.create_task(_collect(subscription, events))
            await irc.until(lambda: bool(irc.heard_lines("JOIN")))
            if account is not None:
                # The last of the subscriptions.
                await api.until(lambda: "stream.offline" in api.types)
            try:
                yield Stage(server, ids, api, irc, eventsub, events)
            finally:
                bus.unsubscribe(subscription)
                await collecting


async def _collect(subscription: Subscription, events: list[Event]) -> None:
    async for event in subscription:
        events.append(event)


async def test_what_irc_and_eventsub_both_tell_is_handled_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.say("first by irc", "m-1")
        await stage.heard("first by irc")
        await stage.notify("first by irc", "m-1")
        await stage.notify("first by eventsub", "m-2")
        await stage.heard("first by irc", "first by eventsub")
        stage.say("first by eventsub", "m-2")
        stage.say("the last", "m-3")
        await stage.heard("first by irc", "first by eventsub", "the last")
        for id in ("m-1", "m-2", "m-3"):
            await stage.reason(id)
        statistics = stage.server.application.services.statistics
        await until(lambda: any(f.total.messages >= 3 for f in statistics.figures("mara")))
        assert statistics.figures("mara")[0].total.messages == 3


async def test_a_deletion_that_both_tell_is_handled_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.say("rude", "m-1")
        await stage.heard("rude")
        stage.irc.say("@login=ana;target-msg-id=m-1 :tmi.twitch.tv CLEARMSG #mara :rude")
        await until(lambda: stage.seen(Moderation))
        about = {"broadcaster_user_login": "mara", "target_user_login": "ana"}
        await stage.eventsub.notify("channel.chat.message_delete", {**about, "message_id": "m-1"})
        await stage.notify("the last", "m-2")
        await stage.heard("rude", "the last")
        assert len(stage.seen(Moderation)) == 1


async def test_a_reply_is_said_in_the_chat_and_not_answered_again(tmp_path: Path) -> None:
    async with staged(tmp_path, twitch__send=True) as stage:
        stage.say("undy, how are you?", "q-1")
        await until(lambda: stage.api.sent)
        (sent,) = stage.api.sent
        assert sent["broadcaster_id"] == "71092938"
        assert sent["sender_id"] == "4242"
        assert sent["reply_parent_message_id"] == "q-1"
        (reply,) = stage.seen(Reply)
        assert isinstance(reply, Reply)
        assert sent["message"] == reply.text
        # Twitch hands it back by both ways, in the form of a reply.
        text = f"@ana {sent['message']}"
        thread = {"reply_parent_msg_id": "q-1", "reply_parent_user_login": "ana"}
        stage.say(text, "sent-1", user="cohost_bot", **thread)
        await stage.notify(text, "sent-1", user="cohost_bot")
        await stage.notify("the last", "m-2")
        await stage.heard("undy, how are you?", "the last")
        assert stage.problems == []


async def test_the_bot_s_name_is_the_cohost_s(tmp_path: Path) -> None:
    async with staged(tmp_path, twitch__send=True) as stage:
        stage.say("written by hand", "m-1", user="cohost_bot")
        assert await stage.reason("m-1") == "own_message"
        stage.say("@Cohost_Bot what is new", "m-2")
        assert await stage.reason("m-2") == "mention"
        thread = {"reply_parent_msg_id": "old", "reply_parent_user_login": "cohost_bot"}
        stage.say("@cohost_bot and then", "m-3", user="ben", **thread)
        assert await stage.reason("m-3") == "reply_to_cohost"


async def test_a_streamer_who_is_logged_in_as_themselves_is_still_heard(tmp_path: Path) -> None:
    async with staged(tmp_path, STREAMER, twitch__send=True) as stage:
        stage.say("undy, are you there?", "q-1", user="mara", badges="broadcaster/1")
        await until(lambda: stage.api.sent)
        assert await stage.reason("q-1") == "mention"
        said = stage.api.sent[0]["message"]
        stage.say(f"@mara {said}", "sent-1", user="mara", reply_parent_msg_id="q-1")
        # A viewer replies to the co-host, though Twitch says that it is the streamer.
        thread = {"reply_parent_msg_id": "sent-1", "reply_parent_user_login": "mara"}
        stage.say("@mara good to know", "m-2", **thread)
        assert await stage.reason("m-2") == "reply_to_cohost"
        stage.say("@mara how are you", "m-3", user="ben")
        assert await stage.reason("m-3") == "addressed_to_other"
        assert stage.texts()[0] == "undy, are you there?"
        assert not any(said in text for text in stage.texts())


async def test_a_reply_goes_with_its_message(tmp_path: Path) -> None:
    async with staged(tmp_path, twitch__send=True) as stage:
        stage.say("undy, how are you?", "q-1")
        await until(lambda: stage.api.sent)
        stage.irc.say("@login=ana;target-msg-id=q-1 :tmi.twitch.tv CLEARMSG #mara :x")
        await until(lambda: stage.api.deleted)
        assert stage.api.deleted[0]["message_id"] == ["sent-1"]


async def test_nothing_is_said_unless_it_is_wanted(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.say("undy, how are you?", "q-1")
        await until(lambda: stage.seen(Reply))
        assert stage.api.sent == []
        # An account that only reads may be a person's.
        stage.say("a word of mine", "m-1", user="cohost_bot")
        assert await stage.reason("m-1") != "own_message"


async def test_a_rate_limit_of_twitch_is_told(tmp_path: Path) -> None:
    async with staged(tmp_path, twitch__send=True) as stage:
        late = str(time.time() + 3_600)
        headers = {"Ratelimit-Remaining": "0", "Ratelimit-Reset": late}
        stage.api.faults.append((429, headers, "Too Many Requests"))
        stage.say("undy, how are you?", "q-1")
        await until(lambda: any("Twitch takes no more requests" in p for p in stage.problems))
        stage.say("undy, what is your name?", "q-2", user="ben")
        await until(lambda: stage.api.sent)
        await until(lambda: stage.problems == [])


async def test_without_a_login_that_is_a_problem_only_when_replies_are_to_be_said(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path / "a", None) as stage:
        assert stage.problems == []
        stage.say("undy, how are you?", "q-1")
        await until(lambda: stage.seen(Reply))
    async with staged(tmp_path / "b", None, twitch__send=True) as stage:
        (problem,) = stage.problems
        assert problem.endswith("nobody is logged in to Twitch: log in on the page Channels")
        status = (await stage.server.http.get("/api/v1/status")).json()
        assert status["problems"] == [problem]


async def test_a_login_without_the_right_to_write_is_a_problem(tmp_path: Path) -> None:
    account = Account("cohost_bot", "4242", ("user:read:chat",))
    async with staged(tmp_path, account, twitch__send=True) as stage:
        (problem,) = stage.problems
        assert "does not allow to send to the chat (user:write:chat)" in problem


async def test_without_an_app_nothing_of_it_is_there(tmp_path: Path) -> None:
    async with Application(settings_for(tmp_path)) as application:
        assert application.services.twitch is None
        assert application.services.sources.states() == []
    async with Application(settings_for(tmp_path, twitch__client_id=CLIENT_ID)) as application:
        assert application.services.twitch is not None
        assert application.services.sources.states() == [], "there is no channel to read"
    with pytest.raises(SettingsError, match=r"twitch\.send needs a login"):
        async with Application(settings_for(tmp_path, twitch__send=True)):
            pass
