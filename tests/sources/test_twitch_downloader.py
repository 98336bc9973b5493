"""TwitchDownloader's chat files, read through `read_recording`."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from understudy.events import ChatMessage, StreamEvent
from understudy.sources import BadLine, Recorded, RecordingError, read_recording

CHAT_FILE = Path(__file__).parents[1] / "data" / "twitchdownloader_chat.json"
CREATED = "2026-11-14T19:00:00Z"


def read(data: bytes) -> list[Recorded]:
    return list(read_recording(io.BytesIO(data)))


def test_a_chat_file() -> None:
    recorded = list(read_recording(CHAT_FILE))
    streamer, moderator = recorded[:2]
    assert streamer == ChatMessage(
        id="c0a80001-0001-4000-8000-000000000001",
        channel="pixelharbor",
        ts=1_794_596_402_500,
        user="marlowplays",
        name="Marlow",
        text="evening all, day nine, be gentle",
        role="streamer",
        tags={"color": "#2E8B57"},
    )
    assert isinstance(moderator, ChatMessage)
    assert (moderator.role, moderator.tags) == ("moderator", {})
    fragments = recorded[8]
    assert isinstance(fragments, ChatMessage)
    assert fragments.text == "こんばんは catJAM"
    assert (fragments.ts, fragments.role) == (1_794_596_471_250, "subscriber")


def test_notices_and_bits_of_a_chat_file_are_events() -> None:
    events = [event for event in read_recording(CHAT_FILE) if isinstance(event, StreamEvent)]
    assert [(event.kind, event.user, event.amount) for event in events] == [
        ("cheer", "lanternfish", 100),
        ("resub", "beetrootbarry", 17),
        ("sub", "kipperknight", 1),
        ("gift", "lanternfish", 3),
        ("gift", "lanternfish", 1),
        ("raid", "grackleworks", 1204),
    ]
    assert events[3].tags == {"msg-id": "submysterygift"}


def test_bad_comments_are_reported_by_number_and_spoil_no_other() -> None:
    recorded = list(read_recording(CHAT_FILE))
    bad = [line for line in recorded if isinstance(line, BadLine)]
    assert [line.number for line in bad] == [10, 11]
    assert bad[0].reason == "the comment has no author"
    assert "Expected `object`, got `str`" in bad[1].reason
    assert isinstance(recorded[-1], ChatMessage)


def chat_file(**changes: Any) -> bytes:
    comment = {"commenter": {"name": "jo"}, "message": {"body": "hi"}, **changes}
    return json.dumps({"streamer": {"name": "Harbor"}, "comments": [comment]}).encode()


def test_a_comment_needs_a_time() -> None:
    assert read(chat_file()) == [BadLine(1, "the comment has no time")]
    (message,) = read(chat_file(created_at=CREATED))
    assert isinstance(message, ChatMessage)
    assert (message.ts, message.channel) == (1_794_682_800_000, "harbor")


def test_a_raid_without_a_number_and_an_unknown_notice() -> None:
    def notice(kind: str) -> Recorded:
        message = {"body": "a raid!", "user_notice_params": {"msg-id": kind}}
        return read(chat_file(created_at=CREATED, message=message))[0]

    raid = notice("raid")
    assert isinstance(raid, StreamEvent)
    assert raid.amount == 0
    assert isinstance(notice("announcement"), ChatMessage)


@pytest.mark.parametrize(
    "data", [b'{"comments": [', b'{"comments": {}}', b'{"comments": ' + b"[" * 10_000]
)
def test_a_broken_chat_file_is_refused(data: bytes) -> None:
    with pytest.raises(RecordingError, match="is not a TwitchDownloader chat file"):
        read(data)


def test_a_chat_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.sources.recordings.WHOLE_BYTES", 1000)
    with pytest.raises(RecordingError, match="convert it to JSON lines"):
        list(read_recording(CHAT_FILE))
