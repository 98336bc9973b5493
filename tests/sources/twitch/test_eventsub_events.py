"""What EventSub's payloads mean, and that none of any shape does harm."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.twitch_eventsub import TIMESTAMP, TIMESTAMP_MS
from tests.shared_data import shared_data
from understudy.events import ChatMessage, Event, Moderation, StreamEvent, decode, encode
from understudy.sources.twitch.chat import emotes_of, is_shared
from understudy.sources.twitch.eventsub_events import EVENT, TYPE, event_of
from understudy.sources.twitch.eventsub_frames import BadFrame, Notification, read_frame
from understudy.sources.twitch.eventsub_topics import TOPICS

NULLS = {"cheer": None, "reply": None, "channel_points_custom_reward_id": None}
NOT_SHARED = {"source_broadcaster_user_id": None, "source_message_id": None}


def frame(type_: str, event: Any, message_id: str = "n-1") -> str:
    metadata = {"message_id": message_id, "message_type": "notification"}
    subscription = {"type": type_, "id": "s", "condition": {"broadcaster_user_id": "7"}}
    payload = {"subscription": subscription, "event": event}
    return json.dumps(
        {"metadata": {**metadata, "message_timestamp": TIMESTAMP}, "payload": payload}
    )


def read(type_: str, event: Any) -> ChatMessage | StreamEvent | Moderation:
    notification = read_frame(frame(type_, event))
    assert isinstance(notification, Notification)
    return event_of(notification, "fallback")


def fragment(text: str, emote: str = "") -> dict[str, Any]:
    kept = {"id": emote, "emote_set_id": "1"} if emote else None
    return {"type": "emote" if emote else "text", "text": text, "emote": kept, "cheermote": None}


def chat(text: str = "hi", **changes: Any) -> dict[str, Any]:
    return {
        "broadcaster_user_id": "71092938",
        "broadcaster_user_login": "understudy",
        "broadcaster_user_name": "Understudy",
        "chatter_user_id": "1001",
        "chatter_user_login": "ana",
        "chatter_user_name": "Ana",
        "message_id": "cc106a89-1814-919d-454c-f4f2f970aae7",
        "message": {"text": text, "fragments": [fragment(text)]},
        "color": "#00FF7F",
        "badges": [{"set_id": "moderator", "id": "1", "info": ""}],
        "message_type": "text",
        **NULLS,
        **NOT_SHARED,
        **changes,
    }


# --- chat


def test_a_message() -> None:
    assert read("channel.chat.message", chat("hello there")) == ChatMessage(
        id="cc106a89-1814-919d-454c-f4f2f970aae7",
        channel="understudy",
        ts=TIMESTAMP_MS,
        user="ana",
        name="Ana",
        text="hello there",
        role="moderator",
        tags={
            "room-id": "71092938",
            "user-id": "1001",
            "color": "#00FF7F",
            "badges": "moderator/1",
        },
    )


def test_a_reply_and_its_parent() -> None:
    parent = {"parent_message_id": "p-1", "parent_user_login": "ben", "parent_user_name": "Ben"}
    message = read("channel.chat.message", chat("@Ben yes", reply=parent))
    assert isinstance(message, ChatMessage)
    assert (message.reply_to, message.reply_to_user, message.text) == ("p-1", "ben", "@Ben yes")


def test_an_action_loses_its_marks() -> None:
    words = {"text": "\x01ACTION waves\x01", "fragments": [fragment("waves")]}
    message = read("channel.chat.message", chat(message=words))
    assert (message.text, message.tags["action"]) == ("waves", "1")  # type: ignore[union-attr]


def test_emotes_have_their_places_by_code_point() -> None:
    parts = [fragment("👍🏽 "), fragment("Kappa", "25"), fragment(" "), fragment("Kappa", "25")]
    text = "".join(part["text"] for part in parts)
    message = read("channel.chat.message", chat(message={"text": text, "fragments": parts}))
    assert isinstance(message, ChatMessage)
    assert message.tags["emotes"] == "25:3-7,9-13"
    assert emotes_of(message) == ["Kappa", "Kappa"]


def test_a_cheer_is_one_event_as_it_is_in_irc() -> None:
    event = read("channel.chat.message", chat("Cheer100 wow", cheer={"bits": 100}))
    assert isinstance(event, StreamEvent)
    assert (event.kind, event.amount, event.text) == ("cheer", 100, "Cheer100 wow")
    assert event.id == "cc106a89-1814-919d-454c-f4f2f970aae7"


def test_a_message_of_a_shared_chat_can_be_told() -> None:
    here = read("channel.chat.message", chat(source_broadcaster_user_id="71092938"))
    there = read("channel.chat.message", chat(source_broadcaster_user_id="99"))
    assert isinstance(here, ChatMessage)
    assert isinstance(there, ChatMessage)
    assert (is_shared(here), is_shared(there)) == (False, True)


@pytest.mark.parametrize("text", ["a RECONNECT x", "PING :x", ":b!b@b PRIVMSG #d :evil", "\x00"])
def test_text_is_only_ever_text(text: str) -> None:
    assert read("channel.chat.message", chat(text)).text == text  # type: ignore[union-attr]


# --- moderation


def test_moderation() -> None:
    about = {"broadcaster_user_login": "understudy", "target_user_login": "ben"}
    deleted = read("channel.chat.message_delete", {**about, "message_id": "m-1"})
    # The same id as by IRC, so that it is counted once.
    assert deleted == Moderation(
        id="delete-m-1",
        channel="understudy",
        ts=TIMESTAMP_MS,
        kind="delete",
        message_id="m-1",
        user="ben",
    )
    cleared = read("channel.chat.clear_user_messages", about)
    assert isinstance(cleared, Moderation)
    assert (cleared.kind, cleared.user, cleared.id) == ("timeout", "ben", "n-1")
    assert read("channel.chat.clear", about) == Moderation(
        id="n-1", channel="understudy", ts=TIMESTAMP_MS, kind="clear"
    )


# --- events of viewers

VIEWER = {
    "broadcaster_user_login": "understudy",
    "user_login": "ana",
    "user_name": "Ana",
}
NOBODY = {**VIEWER, "user_login": None, "user_name": None, "is_anonymous": True}
RESUB = {"cumulative_months": 15, "streak_months": 1, "message": {"text": "still here"}}
RAID = {
    "to_broadcaster_user_login": "understudy",
    "from_broadcaster_user_login": "ana",
    "from_broadcaster_user_name": "Ana",
    "viewers": 42,
}


@pytest.mark.parametrize(
    ("type_", "event", "kind", "user", "amount", "text"),
    [
        ("channel.subscribe", {**VIEWER, "tier": "1000"}, "sub", "ana", 1, ""),
        ("channel.subscribe", {**VIEWER, "is_gift": True}, "other", "ana", 1, ""),
        ("channel.subscription.message", {**VIEWER, **RESUB}, "resub", "ana", 15, "still here"),
        ("channel.subscription.gift", {**VIEWER, "total": 5}, "gift", "ana", 5, ""),
        ("channel.subscription.gift", {**NOBODY, "total": 2}, "gift", "ananonymousgifter", 2, ""),
        ("channel.cheer", {**VIEWER, "bits": 3, "message": "woo"}, "cheer", "ana", 3, "woo"),
        ("channel.cheer", {**NOBODY, "bits": 1}, "cheer", "ananonymouscheerer", 1, ""),
        ("channel.follow", VIEWER, "follow", "ana", 0, ""),
        ("channel.raid", RAID, "raid", "ana", 42, ""),
    ],
)
def test_events_of_viewers(
    type_: str, event: dict[str, Any], kind: str, user: str, amount: int, text: str
) -> None:
    found = read(type_, event)
    assert isinstance(found, StreamEvent)
    assert (found.kind, found.user, found.amount, found.text) == (kind, user, amount, text)
    assert (found.channel, found.ts, found.tags[TYPE]) == ("understudy", TIMESTAMP_MS, type_)


# --- everything else


def test_a_redemption_says_what_for() -> None:
    reward = {"title": "Hydrate", "cost": 150}
    event = {**VIEWER, "reward": reward, "user_input": ""}
    found = read("channel.channel_points_custom_reward_redemption.add", event)
    assert isinstance(found, StreamEvent)
    assert (found.kind, found.user, found.amount, found.text) == ("other", "ana", 150, "Hydrate")
    assert json.loads(found.tags[EVENT]) == event


def test_an_unknown_type_is_kept_as_it_came() -> None:
    found = read("channel.unheard.of", {"broadcaster_user_login": "Understudy", "new": [1, {}]})
    assert isinstance(found, StreamEvent)
    assert (found.kind, found.channel) == ("other", "understudy")
    assert found.tags[TYPE] == "channel.unheard.of"
    assert json.loads(found.tags[EVENT])["new"] == [1, {}]


def test_an_event_without_a_channel_gets_that_of_the_account() -> None:
    assert read("drop.entitlement.grant", [{"id": "1"}]).channel == "fallback"


def test_what_is_too_long_is_not_kept() -> None:
    found = read("channel.unheard.of", {"long": "x" * 20_000})
    assert found.tags == {TYPE: "channel.unheard.of"}  # type: ignore[union-attr]


# --- payloads made by twitch-cli


def test_the_payloads_of_twitch_cli_are_accepted() -> None:
    files = sorted(shared_data("twitch/twitch-cli-eventsub").glob("*.json"))
    assert len(files) == 49, "48 types, one of them in two versions"
    kinds = {file.stem: _read_webhook(file) for file in files}
    viewers = {
        "channel.subscribe": ("sub", 1),
        "channel.subscription.message": ("resub", 74),
        "channel.subscription.gift": ("gift", 5),
        "channel.cheer": ("cheer", 100),
        "channel.follow": ("follow", 0),
        "channel.raid": ("raid", 90876),
    }
    for name, event in kinds.items():
        assert isinstance(event, StreamEvent)
        about = json.loads(event.tags.get(EVENT, "{}"))
        named = about.get("broadcaster_user_login") if isinstance(about, dict) else None
        assert event.channel == (named or "understudy").lower()
        assert (event.kind, event.amount) == viewers.get(name, ("other", event.amount))
        assert decode(encode(event)) == event


def _read_webhook(path: Path) -> Event:
    """A webhook's payload in the envelope of the socket, which is the same but for that."""
    metadata = {"message_id": path.stem, "message_type": "notification"}
    whole = {
        "metadata": {**metadata, "message_timestamp": TIMESTAMP},
        "payload": json.loads(path.read_text(encoding="utf-8")),
    }
    notification = read_frame(json.dumps(whole))
    assert isinstance(notification, Notification)
    return event_of(notification, "understudy")


# --- any shape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(sorted({*chat(), *VIEWER, *RESUB, *RAID, "reward", "title", "user_input"}))


@given(
    st.sampled_from([topic.type for topic in TOPICS]),
    st.dictionaries(KEYS, JSON) | JSON,
)
def test_events_of_any_shape_are_read_or_refused(type_: str, event: Any) -> None:
    try:
        found = read(type_, event)
    except BadFrame:
        return
    assert decode(encode(found)) == found


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_frames_of_any_shape_are_refused(data: str | bytes) -> None:
    with pytest.raises(BadFrame):
        read_frame(data)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        '{"metadata": {"message_id": "1", "message_type": "session_welcome"}}',
        '{"metadata": {"message_id": "1", "message_type": "x", "message_timestamp": ""}}',
        frame("channel.follow", VIEWER).replace(TIMESTAMP, "yesterday"),
        frame("channel.follow", VIEWER).replace(TIMESTAMP, "2026-11-21T00:42:53"),
        frame("channel.follow", None).replace('"event": null', '"other": 1'),
    ],
)
def test_frames_that_lack_something_are_refused(text: str) -> None:
    with pytest.raises(BadFrame):
        read_frame(text)
