"""Reading recorded chat: JSON lines, CSV, detection, and everything a bad line can be."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.events import ChatMessage, Moderation, StreamEvent
from understudy.sources import BadLine, Recorded, RecordingError, count_hint, read_recording

DATA = Path(__file__).parents[1] / "data"
CSV_FILE = DATA / "chat.csv"
TS = 1_794_682_800_000
GOOD: dict[str, Any] = {
    "ts": "2026-11-14T19:00:00Z",
    "channel": "pixelharbor",
    "user": "juniperjo",
    "text": "hello",
}
GOOD_LINE = json.dumps(GOOD).encode()


def read(data: bytes | str, **options: Any) -> list[Recorded]:
    return list(
        read_recording(io.BytesIO(data.encode() if isinstance(data, str) else data), **options)
    )


def read_one(**changes: Any) -> Recorded:
    line = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    (recorded,) = read(json.dumps(line), format="jsonl")
    return recorded


def read_chat(**changes: Any) -> ChatMessage:
    recorded = read_one(**changes)
    assert isinstance(recorded, ChatMessage), recorded
    return recorded


def reason(recorded: Recorded) -> str:
    assert isinstance(recorded, BadLine), recorded
    return recorded.reason


# JSON lines


def test_a_plain_line() -> None:
    message = read_chat()
    assert (message.ts, message.channel, message.user) == (TS, "pixelharbor", "juniperjo")
    assert (message.text, message.role, message.first, message.tags) == (
        "hello",
        "viewer",
        False,
        {},
    )
    assert message.display_name == "juniperjo"
    assert len(message.id) == 32


def test_tags_become_fields_and_the_rest_stays() -> None:
    message = read_chat(
        user="@MossyMaeve",
        channel="#PixelHarbor",
        tags={
            "id": "m1",
            "display-name": "苔のメイヴ",
            "role": "vip",
            "first-msg": "1",
            "reply-parent-msg-id": "m0",
            "reply-parent-user-login": "OttoFlux",
            "color": "#2E8B57",
        },
    )
    assert message == ChatMessage(
        id="m1",
        channel="pixelharbor",
        ts=TS,
        user="mossymaeve",
        name="苔のメイヴ",
        text="hello",
        role="vip",
        first=True,
        reply_to="m0",
        reply_to_user="ottoflux",
        tags={"color": "#2E8B57"},
    )


def test_a_login_with_capitals_is_also_the_display_name() -> None:
    message = read_chat(user="MossyMaeve")
    assert (message.user, message.name) == ("mossymaeve", "MossyMaeve")


@pytest.mark.parametrize(
    ("badges", "role"),
    [
        ("broadcaster/1,subscriber/12", "streamer"),
        ("subscriber/12,moderator/1", "moderator"),
        ("vip/1", "vip"),
        ("founder/0", "subscriber"),
        ("bits/100", "viewer"),
    ],
)
def test_badges_give_the_role_when_none_is_recorded(badges: str, role: str) -> None:
    assert read_chat(tags={"badges": badges}).role == role


def test_an_exported_line_keeps_its_id() -> None:
    assert read_chat(id="abc-1").id == "abc-1"
    assert read_chat(id="abc-1", tags={"role": "vip"}).id == "abc-1"


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        ("2026-11-14T19:00:00Z", TS),
        ("2026-11-14T19:00:00.250Z", TS + 250),
        ("2026-11-14T20:30:00+01:30", TS),
        ("2026-11-14 19:00:00+00:00", TS),
        (TS // 1000, TS),
        (TS / 1000 + 0.25, TS + 250),
        (TS, TS),
        (float(TS), TS),
        (str(TS // 1000), TS),
        (0, 0),
    ],
)
def test_times(ts: int | float | str, expected: int) -> None:
    assert read_chat(ts=ts).ts == expected


def test_control_characters_are_removed_and_words_stay_apart() -> None:
    assert read_chat(text="a\x07b\tc\x9bd\nfamily 👩‍👩‍👧").text == "ab cd family 👩‍👩‍👧"


def test_events() -> None:
    gift = read_one(event="gift", amount=5, text="tea for all", tags={"id": "e1", "tier": "1000"})
    assert gift == StreamEvent(
        id="e1",
        channel="pixelharbor",
        ts=TS,
        kind="gift",
        user="juniperjo",
        amount=5,
        text="tea for all",
        tags={"tier": "1000"},
    )
    follow = read_one(event="follow", text=..., user="BirchWater")
    assert isinstance(follow, StreamEvent)
    assert (follow.kind, follow.user, follow.name, follow.text) == (
        "follow",
        "birchwater",
        "BirchWater",
        "",
    )


def test_moderation() -> None:
    deleted = read_one(event="delete", message_id="m7", text=..., user=..., tags={"id": "d1"})
    assert deleted == Moderation(
        id="d1", channel="pixelharbor", ts=TS, kind="delete", message_id="m7"
    )
    timeout = read_one(event="timeout", text=..., user="Bored_Brick")
    assert isinstance(timeout, Moderation)
    assert (timeout.kind, timeout.user) == ("timeout", "bored_brick")
    assert isinstance(read_one(event="clear", text=..., user=...), Moderation)


def test_the_channel_given_replaces_the_recorded_one() -> None:
    (message,) = read(GOOD_LINE, channel="#Elsewhere")
    assert isinstance(message, ChatMessage)
    assert message.channel == "elsewhere"
    with pytest.raises(RecordingError, match="channel is longer than 200 characters"):
        read(GOOD_LINE, channel="c" * 201)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ts": ...}, "missing required field `ts`"),
        ({"ts": None}, "got `null`"),
        ({"ts": True}, "got `bool`"),
        ({"ts": "yesterday"}, "not a time"),
        ({"ts": ""}, "not a time"),
        ({"ts": "nan"}, "between 1970 and 9999"),
        ({"ts": "9" * 5000}, "between 1970 and 9999"),
        ({"ts": "2026-11-14T19:00:00"}, "no time zone"),
        ({"ts": "0001-01-01T00:00:00+23:59"}, "between 1970 and 9999"),
        ({"ts": -1}, "between 1970 and 9999"),
        ({"ts": 10**15}, "between 1970 and 9999"),
        ({"ts": 10**400}, "between 1970 and 9999"),
        ({"channel": ...}, "`channel` is missing"),
        ({"channel": "c" * 201}, "`channel` is longer than 200"),
        ({"user": ...}, "`user` is missing"),
        ({"user": " @ "}, "`user` is missing"),
        ({"user": "a\nb"}, "`user` holds control characters"),
        ({"user": "a\0b"}, "`user` holds a NUL"),
        ({"text": ...}, "`text` is missing"),
        ({"text": " \t "}, "`text` is missing or empty"),
        ({"text": 5}, "Expected `str`, got `int`"),
        ({"text": "a\0b"}, "NUL"),
        ({"text": "x" * 4001}, "longer than 4,000 characters"),
        ({"tags": []}, "Expected `object`, got `array`"),
        ({"tags": {"color": 5}}, "Expected `str`, got `int`"),
        ({"tags": {"color": "\0"}}, "NUL"),
        ({"tags": {"k" * 201: ""}}, "a tag's name is longer"),
        ({"tags": {"role": "emperor"}}, "`role` is none of"),
        ({"tags": {"id": "i" * 201}}, "the id is longer"),
        ({"event": "earthquake"}, "`event` is none of"),
        ({"event": "cheer", "amount": -5}, "`amount` is not a count"),
        ({"event": "cheer", "amount": "5"}, "Expected `int`, got `str`"),
        ({"event": "raid", "user": ""}, "`user` is missing"),
        ({"event": "delete"}, "`message_id` is missing"),
        ({"event": "ban", "user": ""}, "`user` is missing"),
    ],
)
def test_bad_content(changes: dict[str, Any], expected: str) -> None:
    assert expected in reason(read_one(**changes))


NESTED = b'{"ts": 1, "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"hello", "not valid JSON"),
        (b'{"ts": 1', "not valid JSON"),
        (b"[1, 2]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (GOOD_LINE + GOOD_LINE, "not valid JSON"),
        (GOOD_LINE.replace(b"hello", b"\xff\xfe"), "not valid UTF-8"),
        (GOOD_LINE.replace(b"hello", b"\xed\xa0\x80"), "not valid UTF-8"),
        (GOOD_LINE.replace(b"hello", b"\\ud800"), "not valid JSON"),
        (GOOD_LINE.replace(b"hello", b"a\\udc00b"), "not valid JSON"),
        (GOOD_LINE.replace(b"hello", b"a\x00b"), "not valid JSON"),
        (GOOD_LINE.replace(b"hello", b"x" * 1_100_000), "longer than 1 MiB"),
        (b'{"ts": NaN}', "not valid JSON"),
        (b'{"ts": 1e999}', "Number out of range"),
        (NESTED, "nested too deeply"),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_the_next_is_read(
    line: bytes, expected: str
) -> None:
    first, bad, last = read(b"\n".join([GOOD_LINE, b"", line, GOOD_LINE]))
    assert isinstance(first, ChatMessage)
    assert isinstance(last, ChatMessage)
    assert isinstance(bad, BadLine)
    assert bad.number == 3
    assert expected in bad.reason
    assert "\n" not in bad.reason


def test_line_ends_blank_lines_and_a_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf" + GOOD_LINE + b"\r\n\r\n  \n" + GOOD_LINE
    assert [type(recorded) for recorded in read(data)] == [ChatMessage, ChatMessage]


@given(st.lists(st.binary(max_size=80).filter(lambda line: b"\n" not in line), max_size=8))
def test_no_bytes_raise(lines: list[bytes]) -> None:
    recorded = read(b"\n".join([GOOD_LINE, *lines, GOOD_LINE]))
    assert isinstance(recorded[0], ChatMessage)
    assert isinstance(recorded[-1], ChatMessage)
    assert len(recorded) <= len(lines) + 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["ts", "channel", "user", "text", "id", "name", "tags", "event", "amount", "message_id"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_object_raises_and_what_is_read_can_be_stored(changes: dict[str, Any]) -> None:
    recorded = read_one(**changes)
    if isinstance(recorded, ChatMessage | StreamEvent):
        assert recorded.user == recorded.user.lower()
        assert "\0" not in recorded.text + recorded.user + recorded.id
        assert recorded.text.encode()
        assert 0 <= recorded.ts < 253_402_300_800_000


# Ids


def ids(recorded: list[Recorded]) -> list[str]:
    return [event.id for event in recorded if not isinstance(event, BadLine)]


def test_ids_are_the_same_every_time_and_tell_repeats_apart() -> None:
    other = GOOD_LINE.replace(b"hello", b"hello!")
    data = b"\n".join([GOOD_LINE, other, GOOD_LINE, GOOD_LINE])
    first = ids(read(data))
    assert len(set(first)) == 4
    assert ids(read(data)) == first
    assert ids(read(GOOD_LINE)) == first[:1]


def test_ids_do_not_depend_on_the_format() -> None:
    line = "ts,channel,user,text\n2026-11-14T19:00:00Z,pixelharbor,juniperjo,hello\n"
    assert ids(read(line)) == ids(read(GOOD_LINE))


# CSV


def test_csv_with_quotes_other_columns_and_another_order() -> None:
    hello, quoted = read(CSV_FILE.read_bytes())
    assert isinstance(hello, ChatMessage)
    assert isinstance(quoted, ChatMessage)
    assert (hello.ts, hello.user, hello.name) == (TS, "mossymaeve", "MossyMaeve")
    assert quoted.text == 'he said "pull the lever", twice'
    assert quoted.id == "csv-2"


def test_csv_without_a_channel_needs_one() -> None:
    data = "ts,user,text\n1794682800,juniperjo,hello\n"
    assert reason(read(data)[0]) == "`channel` is missing"
    (message,) = read(data, channel="pixelharbor")
    assert isinstance(message, ChatMessage)
    assert message.ts == TS


def test_bad_csv_lines_are_reported_by_number() -> None:
    long = "x" * 200_000
    rows = [
        "ts,channel,user,text",
        "1794682800,pixelharbor,jo,one,two",
        "",
        '1794682800,pixelharbor,jo,"two\nlines"',
        "soon,pixelharbor,jo,hi",
        f"1794682800,pixelharbor,jo,{long}",
        f"1794682800,{',' * 1_100_000}",
        "1794682800,pixelharbor,jo,\udcff\udcfe",
        "1794682800,pixelharbor,jo,last",
    ]
    recorded = read("\n".join(rows).encode("utf-8", "surrogateescape"))
    bad = {line.number: line.reason for line in recorded if isinstance(line, BadLine)}
    assert set(bad) == {2, 6, 7, 8, 9}
    assert bad[2] == "the line has 5 columns, not 4"
    assert bad[6] == "`ts` is not a time"
    assert "field limit" in bad[7]
    assert "columns, not 4" in bad[8]
    assert bad[9] == "`text` is not valid Unicode text"
    texts = [message.text for message in recorded if isinstance(message, ChatMessage)]
    assert texts == ["two lines", "last"]


def test_csv_without_the_columns_is_refused() -> None:
    with pytest.raises(RecordingError, match="has no column text: its first line must name"):
        read("ts,user,message\n1,jo,hi\n", format="csv")


def test_an_empty_csv_file_has_no_rows() -> None:
    assert read("", format="csv") == []


# Files


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "is empty"),
        (b" \n\n ", "is empty"),
        ("hello there\ngeneral chat\n".encode("utf-16"), "is UTF-16 text"),
        (b"\x1f\x8b\x08\x00rest", "is compressed"),
        (b"MZ\x00\x01\x02", "is not recorded chat"),
        (b"just a letter to a friend\n", "is not recorded chat"),
        (b'{"name": "package", "version": "1"}', "is not recorded chat"),
        (b'[{"user": "jo"}]', "is not recorded chat"),
        (b"name,price\ntea,3\n", "is not recorded chat"),
    ],
)
def test_what_is_no_recording_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(RecordingError, match=expected) as raised:
        read(data)
    assert "\n" not in str(raised.value)


def test_a_recording_may_begin_with_a_bad_line() -> None:
    bad, good = read(b"oops\n" + GOOD_LINE)
    assert isinstance(bad, BadLine)
    assert isinstance(good, ChatMessage)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "gone.jsonl"
    with pytest.raises(RecordingError, match=r"gone\.jsonl cannot be read: No such file"):
        list(read_recording(missing))
    with pytest.raises(RecordingError, match="cannot be read"):
        count_hint(missing)


def test_a_stream_stays_open_and_may_give_little_at_a_time() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(7)

    stream = Trickle(b"\n".join([GOOD_LINE] * 5))
    assert len(list(read_recording(stream))) == 5
    assert not stream.closed


def test_it_is_lazy() -> None:
    read_bytes = 0

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            nonlocal read_bytes
            read_bytes += size
            return ((GOOD_LINE + b"\n") * (size // 100 + 1))[:size]

    endless: Iterator[Recorded] = read_recording(cast("BinaryIO", Endless()))
    for _ in range(100):
        next(endless)
    assert 0 < read_bytes <= 1024 * 1024


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    class OneLine(io.RawIOBase):
        left = 64

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            return GOOD_LINE + b"\n" if self.left == 63 else b"x" * size * (self.left > 0)

    tracemalloc.start()
    try:
        _, bad = read_recording(cast("BinaryIO", OneLine()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reason(bad) == "the line is longer than 1 MiB"
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sample_stream.jsonl", 743), ("twitchdownloader_chat.json", 12), ("chat.csv", 3)],
)
def test_count_hint(name: str, expected: int) -> None:
    assert count_hint(DATA / name) == expected


def test_count_hint_of_large_and_empty_files(tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    large.write_bytes((GOOD_LINE + b"\n") * 30_000)
    assert count_hint(large) == pytest.approx(30_000, rel=0.01)
    (tmp_path / "empty").touch()
    assert count_hint(tmp_path / "empty") == 0
