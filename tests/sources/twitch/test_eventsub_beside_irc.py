"""A channel read by IRC and by EventSub: the same things are the same events."""

import json
from typing import Any

from tests.fakes.twitch_eventsub import TIMESTAMP
from understudy.events import Event
from understudy.sources.twitch import chat, eventsub_events
from understudy.sources.twitch.eventsub_frames import Notification, read_frame
from understudy.sources.twitch.irc_message import parse

HERE = "71092938"
ID = "cc106a89-1814-919d-454c-f4f2f970aae7"
IRC_TAGS = f"room-id={HERE};user-id=1001;display-name=Ana;color=#00FF7F;id={ID}"
CHATTER = {
    "broadcaster_user_id": HERE,
    "broadcaster_user_login": "understudy",
    "chatter_user_id": "1001",
    "chatter_user_login": "ana",
    "chatter_user_name": "Ana",
    "color": "#00FF7F",
    "message_id": ID,
}


def by_irc(line: str) -> Event:
    event = chat.event_of(parse(line), 0)
    assert event is not None
    return event


def by_eventsub(type_: str, event: dict[str, Any]) -> Event:
    metadata = {"message_id": "n-1", "message_type": "notification"}
    subscription = {"type": type_, "condition": {"broadcaster_user_id": HERE}}
    payload = {"subscription": subscription, "event": event}
    whole = {"metadata": {**metadata, "message_timestamp": TIMESTAMP}, "payload": payload}
    notification = read_frame(json.dumps(whole))
    assert isinstance(notification, Notification)
    return eventsub_events.event_of(notification, "")


def same(first: Event, second: Event) -> None:
    """All but the time is equal: each way has a clock of its own."""
    ignored = {"ts"}
    fields = set(type(first).__struct_fields__) - ignored
    assert {name: getattr(first, name) for name in fields} == {
        name: getattr(second, name) for name in fields
    }


def test_a_message() -> None:
    line = (
        f"@{IRC_TAGS};badges=moderator/1,bits/100;mod=1;emotes=25:3-7,9-13 "
        ":ana!ana@ana.tmi.twitch.tv PRIVMSG #understudy :hi Kappa Kappa"
    )
    emote = {"type": "emote", "text": "Kappa", "emote": {"id": "25"}}
    parts = [{"text": "hi "}, emote, {"text": " "}, emote]
    badges = [{"set_id": "moderator", "id": "1"}, {"set_id": "bits", "id": "100"}]
    message = {"text": "hi Kappa Kappa", "fragments": parts}
    payload = {**CHATTER, "message": message, "badges": badges}
    same(by_irc(line), by_eventsub("channel.chat.message", payload))


def test_an_action_and_a_reply() -> None:
    line = (
        f"@{IRC_TAGS};reply-parent-msg-id=p-1;reply-parent-user-login=ben "
        ":ana!ana@ana.tmi.twitch.tv PRIVMSG #understudy :\x01ACTION waves\x01"
    )
    payload = {
        **CHATTER,
        "message": {"text": "\x01ACTION waves\x01", "fragments": [{"text": "waves"}]},
        "reply": {"parent_message_id": "p-1", "parent_user_login": "ben"},
    }
    same(by_irc(line), by_eventsub("channel.chat.message", payload))


def test_a_cheer() -> None:
    line = f"@{IRC_TAGS};bits=100 :ana!ana@ana.tmi.twitch.tv PRIVMSG #understudy :Cheer100 wow"
    payload = {**CHATTER, "message": {"text": "Cheer100 wow"}, "cheer": {"bits": 100}}
    same(by_irc(line), by_eventsub("channel.chat.message", payload))


def test_a_message_of_a_shared_chat() -> None:
    line = (
        f"@{IRC_TAGS};source-room-id=99;source-id=s-1 "
        ":ana!ana@ana.tmi.twitch.tv PRIVMSG #understudy :hi"
    )
    source = {"source_broadcaster_user_id": "99", "source_message_id": "s-1"}
    payload = {**CHATTER, "message": {"text": "hi"}, **source}
    same(by_irc(line), by_eventsub("channel.chat.message", payload))


def test_a_deletion() -> None:
    line = "@login=ben;target-msg-id=m-1 :tmi.twitch.tv CLEARMSG #understudy :rude"
    about = {"broadcaster_user_login": "understudy", "target_user_login": "ben"}
    same(by_irc(line), by_eventsub("channel.chat.message_delete", {**about, "message_id": "m-1"}))
