import string
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import events
from understudy.events import (
    AnyEvent,
    ChatMessage,
    Decision,
    Emotion,
    Moderation,
    MoodReading,
    Reply,
    ReplyToken,
    StreamEvent,
    TurnStarted,
    decode,
    encode,
    format_ts,
    new_id,
    now_ms,
)

TAGS: dict[type[events.Event], str] = {
    ChatMessage: "chat",
    StreamEvent: "stream_event",
    Moderation: "moderation",
    Decision: "decision",
    TurnStarted: "turn_started",
    ReplyToken: "token",
    Emotion: "emotion",
    Reply: "reply",
    MoodReading: "mood",
}
MS_OF_YEAR_9999 = 253_402_300_799_999


def values_of(hint: Any) -> st.SearchStrategy[object]:
    """Any value of a field's type that JSON can carry."""
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.from_type(hint)


def events_of(kind: type[events.Event]) -> st.SearchStrategy[events.Event]:
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{field.name: values_of(field.type) for field in fields})


any_event = st.one_of(*[events_of(kind) for kind in TAGS])


# --- the codec


@given(any_event)
def test_any_event_survives_the_codec(event: AnyEvent) -> None:
    encoded = encode(event)
    again = decode(encoded)
    assert again == event
    assert type(again) is type(event)
    assert decode(encoded.decode()) == event


@given(any_event)
def test_every_event_says_first_what_it_is(event: AnyEvent) -> None:
    assert encode(event).startswith(b'{"type":"%s","id":' % TAGS[type(event)].encode())


def test_all_events_have_a_tag_of_their_own() -> None:
    assert set(TAGS) == set(events.Event.__subclasses__())
    assert len(set(TAGS.values())) == len(TAGS)


def test_defaults_are_left_out_and_put_back() -> None:
    message = ChatMessage(id="1", channel="c", ts=5, user="ann", text="hi")
    assert (
        encode(message) == b'{"type":"chat","id":"1","channel":"c","ts":5,"user":"ann","text":"hi"}'
    )
    assert decode(encode(message)) == message
    assert message.tags == {}


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"unheard-of","id":"1","channel":"c","ts":5}',
        b'{"id":"1","channel":"c","ts":5}',
        b'{"type":"chat","id":"1","channel":"c","ts":"later","user":"u","text":"t"}',
        b'{"type":"chat","id":"1","channel":"c","ts":5,"user":"u"}',
        b'{"type":"chat","id":"1","channel":"c","ts":5,"user":"u","text":"t","role":"king"}',
        b"[]",
    ],
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(data)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", "nonsense"])
def test_what_is_no_json_is_refused(data: bytes | str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


def test_fields_of_a_newer_version_are_ignored() -> None:
    data = b'{"type":"moderation","id":"1","channel":"c","ts":5,"kind":"ban","user":"u","new":1}'
    assert decode(data) == Moderation(id="1", channel="c", ts=5, kind="ban", user="u")


def test_events_cannot_be_changed() -> None:
    event = Moderation(id="1", channel="c", ts=5, kind="clear")
    with pytest.raises(AttributeError):
        event.ts = 6  # pyright: ignore[reportAttributeAccessIssue]
    assert event.ts == 5


def test_tags_are_not_shared_between_messages() -> None:
    one = ChatMessage(id="1", channel="c", ts=5, user="u", text="t")
    two = ChatMessage(id="2", channel="c", ts=5, user="u", text="t")
    one.tags["k"] = "v"
    assert two.tags == {}


@pytest.mark.parametrize(("name", "shown"), [("", "ann"), ("Ann", "Ann")])
def test_a_user_is_shown_by_display_name_or_login(name: str, shown: str) -> None:
    message = ChatMessage(id="1", channel="c", ts=5, user="ann", name=name, text="hi")
    event = StreamEvent(id="1", channel="c", ts=5, kind="sub", user="ann", name=name)
    assert message.display_name == event.display_name == shown


# --- times and ids


@given(st.integers(0, MS_OF_YEAR_9999))
def test_times_are_written_exactly_and_sort_as_text(ts: int) -> None:
    text = format_ts(ts)
    assert len(text) == len("2026-11-21T18:00:00.250Z")
    moment = datetime.fromisoformat(text)
    assert moment.utcoffset() == UTC.utcoffset(None)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000 == ts


@given(st.integers(0, MS_OF_YEAR_9999), st.integers(0, MS_OF_YEAR_9999))
def test_written_times_sort_as_the_times_do(one: int, two: int) -> None:
    assert (format_ts(one) < format_ts(two)) == (one < two)


def test_a_known_time_is_written_as_promised() -> None:
    assert format_ts(1_795_284_000_250) == "2026-11-21T18:00:00.250Z"
    assert format_ts(0) == "1970-01-01T00:00:00.000Z"


def test_ids_are_unique_and_well_formed() -> None:
    ids = {new_id() for _ in range(5_000)}
    assert len(ids) == 5_000
    assert all(len(one) == 22 and set(one) <= set(string.hexdigits.lower()) for one in ids)
    assert new_id("run_").startswith("run_")
    assert len(new_id("run_")) == 26


def test_ids_carry_their_time() -> None:
    before = now_ms()
    stamp = int(new_id()[:12], 16)
    assert before <= stamp <= now_ms()


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=6, unique=True))
def test_ids_sort_by_time(times: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        made: list[tuple[int, str]] = []
        for time in times:
            patch.setattr(events, "now_ms", lambda time=time: time)
            made.append((time, new_id()))
    assert [one for _, one in sorted(made)] == sorted(one for _, one in made)
