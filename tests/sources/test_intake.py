"""The intake: what an item may look like, what becomes of it, and items that come twice."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.engine.live_channels import ChannelRefused
from understudy.events import ChatMessage, Event, Moderation, StreamEvent, decode, encode
from understudy.sources.intake import REPOST_SECONDS, Fate, Intake
from understudy.sources.intake_items import (
    MAX_ITEMS,
    MAX_TAGS,
    IntakeEvent,
    ItemError,
    Sender,
    decode_items,
    read_item,
)

OWNER = Sender("owner's bridge")
HI = {"type": "chat", "platform": "tiktok", "channel": "ana", "user": "kim", "text": "hi"}
TS = 1_795_300_000_000


def event_of(item: object, **options: Any) -> IntakeEvent:
    return read_item(item, **{"now": TS, "channel": "", "highest": "streamer"} | options).event


def refusal(item: object, **options: Any) -> str:
    with pytest.raises(ItemError) as caught:
        event_of(item, **options)
    return str(caught.value)


class Desk:
    """An intake, what it published, and its clock."""

    def __init__(self, **options: Any) -> None:
        self.published: list[Event] = []
        self.now = 1_000.0
        self.refuse = ""
        self.intake = Intake(self._publish, clock=lambda: self.now, **options)

    async def _publish(self, event: Event) -> None:
        if self.refuse:
            raise ChannelRefused(self.refuse)
        self.published.append(event)

    async def take(self, *items: object, sender: Sender = OWNER) -> list[Fate]:
        return (await self.intake.take(items, sender)).items


# --- the form of an item


def test_a_chat_message_with_everything() -> None:
    item = HI | {
        "id": "m1",
        "ts": "2026-11-21T18:00:00.250Z",
        "user": "@Kim",
        "name": "Kim ✨",
        "role": "vip",
        "reply_to": "m0",
        "reply_to_user": "@Bo",
        "first": True,
        "color": "#ff0000",
        "level": 7,
        "gifter": False,
        "badges": ["fan", 3],
        "nothing": None,
        "tags": {"room": "r1"},
    }
    assert event_of(item) == ChatMessage(
        id="m1",
        channel="ana",
        ts=1_795_284_000_250,
        user="kim",
        name="Kim ✨",
        text="hi",
        platform="tiktok",
        role="vip",
        reply_to="m0",
        reply_to_user="bo",
        first=True,
        tags={
            "color": "#ff0000",
            "level": "7",
            "gifter": "false",
            "badges": '["fan",3]',
            "room": "r1",
        },
    )


def test_little_is_enough() -> None:
    message = event_of({"user": 42, "text": "hi"}, channel="ana")
    assert isinstance(message, ChatMessage)
    assert (message.channel, message.user, message.ts) == ("ana", "42", TS)
    assert (message.platform, message.role, message.name) == ("other", "viewer", "")


def test_a_login_with_capitals_is_a_display_name() -> None:
    message = event_of(HI | {"user": "@KimPossible"})
    assert isinstance(message, ChatMessage)
    assert (message.user, message.name) == ("kimpossible", "KimPossible")


@pytest.mark.parametrize("kind", ["sub", "resub", "gift", "raid", "cheer", "follow", "other"])
def test_stream_events(kind: str) -> None:
    item = {"type": kind, "platform": "kick", "channel": "ana", "user": "Kim", "amount": "3"}
    event = event_of(item)
    assert isinstance(event, StreamEvent)
    assert (event.kind, event.user, event.name, event.amount) == (kind, "kim", "Kim", 3)
    assert event == event_of(item | {"type": "event", "kind": kind})


@pytest.mark.parametrize(
    ("given", "amount", "tags"),
    [
        ({"amount": 500}, 500, {}),
        ({"amount": 5.0}, 5, {}),
        ({"amount": 5, "currency": "EUR"}, 0, {"amount": "5", "currency": "EUR"}),
        ({"amount": "5.50"}, 0, {"amount": "5.50"}),
        ({"amount": 5.5}, 0, {"amount": "5.5"}),
        ({"amount": [5]}, 0, {"amount": "[5]"}),
        ({}, 0, {}),
    ],
)
def test_money_is_no_count(given: dict[str, Any], amount: int, tags: dict[str, str]) -> None:
    event = event_of({"type": "cheer", "channel": "ana", "user": "kim"} | given)
    assert isinstance(event, StreamEvent)
    assert (event.amount, event.tags) == (amount, tags)


def test_acts_of_moderation() -> None:
    here = {"channel": "ana", "platform": "kick"}
    deletes = [
        here | {"type": "delete", "message_id": "m1"},
        here | {"type": "delete", "id": "m1"},
        here | {"type": "moderation", "kind": "delete", "message_id": "m1"},
    ]
    assert {(act.kind, act.message_id) for act in map(act_of, deletes)} == {("delete", "m1")}
    assert len({act.id for act in map(act_of, deletes)}) == 1
    for kind in ("timeout", "ban"):
        act = act_of(here | {"type": kind, "user": "@Troll"})
        assert (act.kind, act.user) == (kind, "troll")
    assert act_of(here | {"type": "clear"}).kind == "clear"


def act_of(item: object) -> Moderation:
    act = event_of(item)
    assert isinstance(act, Moderation)
    return act


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("hello", "JSON object"),
        (HI | {"type": "dance"}, "`type` is none of chat"),
        (HI | {"channel": ""}, "`channel` is missing"),
        (HI | {"user": "  "}, "`user` is missing"),
        (HI | {"user": True}, "`user` is not a text"),
        (HI | {"user": "k" * 201}, "`user` is longer than 200"),
        (HI | {"text": " \u2066\u0000 "}, "`text` is missing or blank"),
        (HI | {"text": 7}, "`text` is not a text"),
        (HI | {"text": "x" * 4_001}, "`text` is longer than 4,000"),
        (HI | {"platform": "p" * 33}, "`platform` is longer than 32"),
        (HI | {"role": "king"}, "`role` is none of streamer"),
        (HI | {"ts": "yesterday"}, "`ts` is not a time"),
        (HI | {"ts": "2026-11-21T18:00:00"}, "no time zone"),
        (HI | {"ts": True}, "`ts` is not a time"),
        (HI | {"ts": -1}, "between 1970 and 9999"),
        (HI | {"x" * 201: 1}, "the name of a tag"),
        (HI | {"lyrics": "x" * 4_001}, "`lyrics` is longer"),
        (HI | {f"key{number}": 1 for number in range(MAX_TAGS + 1)}, "more than 50"),
        ({"type": "raid", "channel": "ana", "user": "kim", "amount": -1}, "`amount` is not"),
        ({"type": "raid", "channel": "ana"}, "`user` is missing"),
        ({"type": "delete", "channel": "ana"}, "`message_id` is missing"),
        ({"type": "ban", "channel": "ana"}, "`user` is missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(item: object, words: str) -> None:
    assert words in refusal(item)


def test_text_is_cleaned() -> None:
    message = event_of(HI | {"text": "a\u202eb\r\nc\x00\x1b[31m\td", "user": "ki\u200em\x07"})
    assert isinstance(message, ChatMessage)
    assert message.text == "ab c[31m d"
    assert "\x07" not in message.user


def test_nobody_is_given_a_higher_standing_than_the_sender_has() -> None:
    def role(told: str, highest: str) -> str:
        message = event_of(HI | {"role": told}, highest=highest)
        assert isinstance(message, ChatMessage)
        return message.role

    assert role("streamer", "streamer") == "streamer"
    assert role("streamer", "moderator") == "moderator"
    assert role("Subscriber", "moderator") == "subscriber"


def test_a_clock_that_runs_ahead_is_not_believed() -> None:
    assert event_of(HI | {"ts": TS + 59_000}).ts == TS + 59_000
    assert event_of(HI | {"ts": TS + 86_400_000}).ts == TS
    assert event_of(HI | {"ts": 1_500_000_000}).ts == 1_500_000_000_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = {"type", "kind", "channel", "platform", "user", "name", "text", "id", "ts", "role", "tags"}
KEYS |= {"amount", "currency", "message_id", "reply_to", "reply_to_user", "first"}
known_keys = st.sampled_from(sorted(KEYS))
kinds = st.sampled_from(["chat", "cheer", "raid", "delete", "ban", "clear", "event"])


@given(st.dictionaries(known_keys | st.text(max_size=8), json_values), kinds)
def test_any_object_is_an_event_or_one_sentence(extra: dict[str, Any], kind: str) -> None:
    item: dict[str, Any] = {"type": kind, **HI, **extra}
    try:
        event = event_of(item, channel="ana")
    except ItemError as error:
        sentence = str(error)
    else:
        sentence = ""
    if sentence:
        assert len(sentence.split()) >= 3
        assert "\n" not in sentence
        return
    assert event.id
    assert event.channel
    assert decode(encode(event)) == event
    assert event == event_of(item, channel="ana"), "reading it again gives the same"


# --- bodies


def test_one_a_list_and_lines() -> None:
    one = msgspec.json.encode(HI)
    assert decode_items(one) == [HI]
    assert decode_items(b"\xef\xbb\xbf" + msgspec.json.format(one, indent=2)) == [HI]
    assert decode_items(msgspec.json.encode([HI, 1])) == [HI, 1]
    first, bad, last = decode_items(one + b"\r\n\n{broken\n" + one)
    assert (first, last) == (HI, HI)
    assert "not JSON" in refusal(bad)


@pytest.mark.parametrize("body", [b"", b" \n", b"\xff", b"{", b"[1,", b"[" * 100_000, b"hello"])
def test_a_body_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ItemError, match=r"not JSON|nothing was sent"):
        decode_items(body)


def test_a_body_with_too_many_items() -> None:
    assert len(decode_items(b"[%b1]" % (b"1," * (MAX_ITEMS - 1)))) == MAX_ITEMS
    with pytest.raises(ItemError, match="more than 1,000"):
        decode_items(b"[%b1]" % (b"1," * MAX_ITEMS))


@given(st.binary(max_size=200))
def test_any_body_is_items_or_one_sentence(body: bytes) -> None:
    try:
        items = decode_items(body)
    except ItemError:
        return
    assert items or body.strip() == b"[]"


# --- fates


async def test_a_bad_item_does_not_spoil_the_rest() -> None:
    desk = Desk()
    fates = await desk.take(HI, {"channel": "ana"}, "?", HI | {"text": "bye"})
    assert [fate.status for fate in fates] == ["accepted", "refused", "refused", "accepted"]
    assert [event.id for event in desk.published] == [fates[0].id, fates[3].id]
    assert fates[1] == Fate("refused", reason="`user` is missing: say who it was")


async def test_what_is_posted_again_counts_once() -> None:
    desk = Desk()
    timed, named = HI | {"ts": 1_795_000_000}, HI | {"id": "m1"}
    firsts = await desk.take(HI, timed, named)
    desk.now += REPOST_SECONDS / 2
    again = await desk.take(HI, timed, named)
    assert {fate.status for fate in firsts} == {"accepted"}
    assert again == [Fate("repeated", fate.id) for fate in firsts]
    desk.now += 86_400
    assert await desk.take(timed, named) == again[1:]
    assert len(desk.published) == 3


async def test_what_is_said_again_later_is_another_message() -> None:
    desk = Desk()
    (first,) = await desk.take(HI)
    desk.now += REPOST_SECONDS
    (second,) = await desk.take(HI)
    assert (first.status, second.status) == ("accepted", "accepted")
    assert first.id != second.id


async def test_different_items_are_not_taken_for_one() -> None:
    desk = Desk()
    variants = [
        HI,
        HI | {"user": "bo"},
        HI | {"text": "hi!"},
        HI | {"channel": "bea"},
        HI | {"platform": "kick"},
        HI | {"ts": 1_795_000_000},
        HI | {"ts": 1_795_000_001},
        HI | {"type": "follow"},
        HI | {"type": "gift", "amount": 1},
        HI | {"type": "gift", "amount": 2},
        HI | {"id": "m1"},
        HI | {"id": "m1", "channel": "bea"},
    ]
    fates = await desk.take(*variants)
    assert {fate.status for fate in fates} == {"accepted"}
    assert len({(event.channel, event.id) for event in desk.published}) == len(variants)


async def test_an_item_that_was_not_published_may_come_again() -> None:
    desk = Desk()
    desk.refuse = "channel ana is being rehearsed: stop that first"
    assert await desk.take(HI | {"id": "m1"}) == [Fate("refused", reason=desk.refuse)]
    desk.refuse = ""
    assert await desk.take(HI | {"id": "m1"}) == [Fate("accepted", "m1")]


async def test_who_hands_in_too_much_is_told_how_long_to_wait() -> None:
    desk = Desk(per_minute=60)
    items = [HI | {"id": number} for number in range(25)]
    fates = await desk.intake.take(items, OWNER)
    assert fates.count("accepted") == 20
    assert fates.count("refused") == 5
    assert "too many events: wait" in fates.items[-1].reason
    assert 0 < fates.wait <= 1
    assert (await desk.take(items[-1], sender=Sender("another")))[0].status == "accepted"
    desk.now += 60
    assert {fate.status for fate in await desk.take(*items[20:24])} == {"accepted"}
