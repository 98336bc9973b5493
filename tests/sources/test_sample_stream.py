"""The bundled sample stream: a valid recording that shows everything a small stream can hold."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

import understudy.sources
from understudy.events import ChatMessage, Moderation, StreamEvent, format_ts
from understudy.sources.recorded import BadLine, RecordedEvent
from understudy.sources.recordings import read_recording

BUNDLED = Path(understudy.sources.__file__).with_name("sample_stream.jsonl")
COPY = Path(__file__).parents[1] / "data" / "sample_stream.jsonl"
BOTS = {"nightbot"}
NAMED = re.compile(r"understudy|\bundy\b|\bco-?host\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def events() -> list[RecordedEvent]:
    found: list[RecordedEvent] = []
    for recorded in read_recording(BUNDLED):
        assert not isinstance(recorded, BadLine)
        found.append(recorded)
    return found


@pytest.fixture(scope="module")
def messages(events: list[RecordedEvent]) -> list[ChatMessage]:
    return [event for event in events if isinstance(event, ChatMessage)]


def texts(messages: list[ChatMessage]) -> str:
    return "\n".join(message.text for message in messages)


def test_both_copies_are_the_same() -> None:
    assert BUNDLED.read_bytes() == COPY.read_bytes()


def test_every_line_is_read(events: list[RecordedEvent]) -> None:
    assert len(events) == len(BUNDLED.read_text(encoding="utf-8").splitlines())
    assert 550 <= len(events) <= 800
    assert {event.channel for event in events} == {"pixelharbor"}


def test_every_line_brings_its_own_unique_id(events: list[RecordedEvent]) -> None:
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    ids = [msgspec.json.decode(line)["tags"]["id"] for line in lines]
    assert ids == [event.id for event in events]
    assert len(set(ids)) == len(ids)


def test_it_runs_for_about_twenty_minutes_in_order(events: list[RecordedEvent]) -> None:
    times = [event.ts for event in events]
    assert times == sorted(times)
    assert format_ts(times[0]) == "2026-11-14T19:00:00.000Z"
    assert 18 * 60_000 <= times[-1] - times[0] <= 22 * 60_000


def test_it_has_quiet_minutes_and_bursts(events: list[RecordedEvent]) -> None:
    times = [event.ts for event in events]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert sum(gap > 60_000 for gap in gaps) >= 2
    busiest = max(sum(start <= ts < start + 10_000 for ts in times) for start in times)
    assert busiest >= 15


def test_many_people_talk(messages: list[ChatMessage]) -> None:
    by_user = Counter(message.user for message in messages)
    assert 65 <= len(by_user) <= 90
    assert sum(count >= 10 for count in by_user.values()) >= 10
    assert sum(count <= 3 for count in by_user.values()) >= 8
    assert max(by_user.values()) < len(messages) / 10


def test_roles(messages: list[ChatMessage]) -> None:
    users: dict[str, set[str]] = {}
    for message in messages:
        users.setdefault(message.role, set()).add(message.user)
    assert users["streamer"] == {"marlowplays"}
    assert len(users["moderator"] - BOTS) >= 2
    assert len(users["vip"]) >= 2
    assert len(users["subscriber"]) >= 10
    assert len(users["viewer"]) >= 30


def test_nobody_has_two_roles(messages: list[ChatMessage]) -> None:
    assert len({(message.user, message.role) for message in messages}) == len(
        {message.user for message in messages}
    )


def test_kinds_of_events(events: list[RecordedEvent]) -> None:
    kinds = Counter(event.kind for event in events if isinstance(event, StreamEvent))
    assert set(kinds) == {"sub", "resub", "gift", "cheer", "follow", "raid"}
    assert kinds["raid"] == 1
    assert kinds["follow"] >= 5
    assert 10 <= kinds.total() <= 25
    assert all(
        event.amount > 0
        for event in events
        if isinstance(event, StreamEvent) and event.kind != "follow"
    )


def test_the_raid_brings_newcomers(events: list[RecordedEvent]) -> None:
    raid = next(e.ts for e in events if isinstance(e, StreamEvent) and e.kind == "raid")
    newcomers = [e for e in events if isinstance(e, ChatMessage) and e.first]
    assert len(newcomers) >= 10
    assert sum(raid <= e.ts < raid + 30_000 for e in newcomers) >= 7


def test_first_messages_are_first(messages: list[ChatMessage]) -> None:
    seen: set[str] = set()
    for message in messages:
        assert not (message.first and message.user in seen), message
        seen.add(message.user)


def test_moderation_names_earlier_messages_and_their_authors(
    events: list[RecordedEvent],
) -> None:
    authors: dict[str, str] = {}
    acts: Counter[str] = Counter()
    for event in events:
        if isinstance(event, ChatMessage):
            authors[event.id] = event.user
        elif isinstance(event, Moderation):
            acts[event.kind] += 1
            if event.kind == "delete":
                assert authors[event.message_id] == event.user
            else:
                assert event.user in authors.values()
    assert acts["delete"] >= 5
    assert acts["timeout"] >= 1
    assert acts["ban"] >= 1


def test_those_timed_out_or_banned_stay_silent(events: list[RecordedEvent]) -> None:
    gone: set[str] = set()
    for event in events:
        if isinstance(event, Moderation) and event.kind in ("timeout", "ban"):
            gone.add(event.user)
        assert not (isinstance(event, ChatMessage) and event.user in gone)


def test_the_cohost_is_asked_by_name(messages: list[ChatMessage]) -> None:
    asked = [m for m in messages if m.user not in BOTS and "?" in m.text and NAMED.search(m.text)]
    assert len(asked) >= 45
    assert len({m.user for m in asked}) >= 25
    for name in ("@understudy", "understudy", "undy", "co-host", "cohost"):
        assert any(name in m.text.lower() for m in messages if m.user not in BOTS), name


def test_others_are_asked_too(messages: list[ChatMessage]) -> None:
    users = {m.user for m in messages}
    mentions = [
        (m.user, match[1].lower())
        for m in messages
        for match in re.finditer(r"@(\w+)", m.text)
        if match[1].lower() in users
    ]
    assert sum(target == "marlowplays" for _, target in mentions) >= 3
    assert sum(target != "marlowplays" for _, target in mentions) >= 10


def test_replies_point_at_earlier_messages(messages: list[ChatMessage]) -> None:
    authors: dict[str, str] = {}
    replies = 0
    for message in messages:
        if message.reply_to:
            assert authors[message.reply_to] == message.reply_to_user
            replies += 1
        authors[message.id] = message.user
    assert replies >= 5


@pytest.mark.parametrize(
    ("what", "pattern", "at_least"),
    [
        ("emotes", r"\b(LUL|LULW|PogChamp|POG\w*|catJAM|Kappa)\b|<3", 35),
        ("shouting", r"^[^a-z\n]*[A-Z]{4}[^a-z\n]*$", 20),
        ("commands of viewers", r"^!\w+$", 2),
        ("copypasta", r"nine hours", 8),
        ("prompt injection", r"ignore all previous|system prompt|api keys?\b|password to", 4),
        ("kana", "[\u3041-\u30ff]", 5),
        ("Spanish", r"¿|¡|\bhola\b|\bnoches\b", 4),
        ("German", r"\b(nicht|Guten|hallo|gute|ist da|ihr)\b", 5),
        ("typos", r"\b(teh|sory|hav|gona)\b", 3),
        ("emoji", "[\U0001f300-\U0001faff]", 4),
        ("a technical problem", r"(?i)\b(muted|echo\w*|frozen)\b", 8),
        ("goodbyes", r"(?i)\b(good ?night|night|bye|buenas noches)\b", 8),
        ("links of spam", r"viewers4cheap\.example", 2),
    ],
)
def test_it_holds(messages: list[ChatMessage], what: str, pattern: str, at_least: int) -> None:
    found = re.findall(pattern, texts(messages), re.MULTILINE)
    assert len(found) >= at_least, what


@pytest.mark.parametrize(
    "slip",
    [
        "fizzwick.tamsin@example.com",
        "+1 202 555 0142",
        "020 7946 0958",
        "030 23125 417",
        "203.0.113.42",
        "2001:db8::c0de:17",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "sk-test-FAKE0000notarealkey1111example2222",
        "doodlebug_dee#4821",
        "14 Sandpiper Lane, Nether Wick, ZZ9 4QT",
        "51.4779, -0.0015",
        "Tamsin Fizzwick, born 29 February 1996",
        "password is limpet-hat-9",
    ],
)
def test_personal_data_slips_out_once(messages: list[ChatMessage], slip: str) -> None:
    assert sum(slip in message.text for message in messages) == 1


def test_one_message_is_very_long_and_most_are_short(messages: list[ChatMessage]) -> None:
    lengths = sorted(len(message.text) for message in messages)
    assert lengths[-1] > 500
    assert lengths[len(lengths) // 2] < 60


def test_lines_differ(messages: list[ChatMessage]) -> None:
    counts = Counter(message.text.lower() for message in messages)
    assert len(counts) >= 0.94 * len(messages)
