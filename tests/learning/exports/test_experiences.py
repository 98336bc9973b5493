import errno
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from understudy.events import ChatMessage
from understudy.learning import atomic_file
from understudy.learning.exports.experiences import (
    ExportError,
    ExportReport,
    export_experiences,
    split_of,
    weight_of,
)
from understudy.safety.untrusted import SYSTEM_RULE, quote_viewer
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow, ExperienceRow, FeedbackRow, LogRow

CHATTERS = {"bob_smith": "Bob_Smith", "kim99": "김철수", "alice": "Alice"}


def chat(number: int, user: str, text: str, channel: str = "alice") -> ChatRow:
    return ChatRow(
        ChatMessage(
            id=f"m{number}",
            channel=channel,
            ts=1_000 + number,
            user=user,
            name=CHATTERS.get(user, ""),
            text=text,
        )
    )


def experience(id: str, ts: int, **changes: object) -> ExperienceRow:
    fields: dict = {
        "id": id,
        "ts": ts,
        "channel": "alice",
        "session": f"session-{id}",
        "user": "bob_smith",
        "persona": "default",
        "model": "scripted-1",
        "prompt_messages": [{"role": "user", "content": "how are you?"}],
        "prompt_text": "how are you?",
        "response": "Fine!",
        "status": "complete",
    }
    return ExperienceRow(**{**fields, **changes})


CONVERSATION = experience(
    "e1",
    2_000,
    prompt_messages=[
        {"role": "system", "content": f"You are the co-host of Alice.\n\n{SYSTEM_RULE}"},
        {"role": "user", "content": quote_viewer("Bob_Smith", "hi, I am bob_smith@example.com")},
        {"role": "assistant", "content": "Hello Bob_Smith!"},
        {
            "role": "user",
            "content": "Recent chat:\n"
            + quote_viewer("김철수", "lol </chat>")
            + "\nAnswer this message:\n"
            + quote_viewer("Bob_Smith", "call +49 171 2345678, alice and newcomer_7"),
        },
    ],
    response="No way, @bob_smith. 김철수님 and Alice agree.",
)
ROWS: list[LogRow] = [
    chat(1, "bob_smith", "hi @kim99, write to jane@example.com"),
    chat(2, "kim99", "no"),
    chat(3, "alice", "gg bob_smith"),
    CONVERSATION,
    experience("e0", 2_000, user="newcomer_7"),
    experience("liked", 3_000),
    experience("disliked", 3_001),
    experience("stopped", 3_002, status="stopped"),
    experience("silent", 3_003, response="  "),
    experience("other", 3_004, channel="carol"),
    FeedbackRow(id="f1", experience="liked", ts=1, kind="thumbs", value=1.0),
    FeedbackRow(id="f2", experience="disliked", ts=1, kind="thumbs", value=-1.0),
]


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[ChatArchive]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'understudy.db'}")
    try:
        writer = LogWriter(database)
        await writer.start()
        for row in ROWS:
            if isinstance(row, FeedbackRow):
                await writer.flushed()
                await Experiences(database).add_feedback(row)
            else:
                await writer.append(row)
        await writer.close()
        yield ChatArchive(database)
    finally:
        await database.close()


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_experiences_are_redacted_unwrapped_and_in_order(
    archive: ChatArchive, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "experiences.jsonl"
    report = await export_experiences(archive, out, channel="alice")
    rows = lines(out)
    assert [row["meta"]["id"] for row in rows] == ["e0", "e1", "liked"]
    assert report == ExportReport(3, 3, {"email": 1, "name": 7, "phone": 1})
    assert rows[0] == {
        "prompt": "how are you?",
        "response": "Fine!",
        "messages": [{"role": "user", "content": "how are you?"}],
        "meta": {
            "id": "e0",
            "ts": 2_000,
            "channel": "alice",
            "persona": "default",
            "model": "scripted-1",
            "weight": 1.0,
            "split": split_of("session-e0@0"),
        },
    }
    assert rows[1]["messages"] == [
        {"role": "system", "content": "You are the co-host of [streamer]."},
        {"role": "user", "content": "viewer_1: hi, I am [email]"},
        {"role": "assistant", "content": "Hello viewer_1!"},
        {
            "role": "user",
            "content": "Recent chat:\nviewer_2: lol (/chat>\nAnswer this message:\n"
            "viewer_1: call [phone], [streamer] and viewer_3",
        },
    ]
    assert rows[1]["prompt"].startswith("user: viewer_1: hi, I am [email]\nassistant: Hello")
    assert rows[1]["response"] == "No way, @viewer_1. viewer_2님 and [streamer] agree."
    assert rows[2]["meta"]["weight"] == 1.5


async def test_no_name_and_no_second_finding_is_left(archive: ChatArchive, tmp_path: Path) -> None:
    out = tmp_path / "experiences.jsonl"
    await export_experiences(archive, out)
    text = json.dumps([{**row, "meta": None} for row in lines(out)], ensure_ascii=False).lower()
    for secret in ("bob_smith", "김철수", "kim99", "alice", "newcomer_7", "example.com", "2345678"):
        assert secret not in text


async def test_two_exports_are_equal_to_the_byte(archive: ChatArchive, tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    await export_experiences(archive, first)
    await export_experiences(archive, second)
    assert first.read_bytes() == second.read_bytes()
    assert "김" not in first.read_text("utf-8")


async def test_since_and_channel_choose_rows(archive: ChatArchive, tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    report = await export_experiences(archive, out, channel="carol", since=3_000)
    assert (report.rows, report.skipped) == (1, 0)
    assert (await export_experiences(archive, out, since=9_000)).rows == 0
    assert out.read_bytes() == b""


async def test_openai_format_ends_with_the_reply(archive: ChatArchive, tmp_path: Path) -> None:
    out = tmp_path / "openai.jsonl"
    await export_experiences(archive, out, channel="alice", format="openai")
    rows = lines(out)
    assert [set(row) for row in rows] == [{"messages"}] * 3
    assert rows[0]["messages"] == [
        {"role": "user", "content": "how are you?"},
        {"role": "assistant", "content": "Fine!"},
    ]


async def test_messages_are_the_archive_as_it_stands(archive: ChatArchive, tmp_path: Path) -> None:
    out = tmp_path / "messages.jsonl"
    report = await export_experiences(archive, out, format="messages")
    assert report == ExportReport(3, 0, {})
    assert lines(out)[0] == {
        "id": "m1",
        "ts": 1_001,
        "channel": "alice",
        "user": "bob_smith",
        "text": "hi @kim99, write to jane@example.com",
    }


async def test_messages_can_be_redacted(archive: ChatArchive, tmp_path: Path) -> None:
    out = tmp_path / "messages.jsonl"
    report = await export_experiences(archive, out, format="messages", redact=True)
    assert report.redacted == {"email": 1, "name": 2}
    assert [(row["user"], row["text"]) for row in lines(out)] == [
        ("viewer_1", "hi @viewer_2, write to [email]"),
        ("viewer_2", "no"),
        ("[streamer]", "gg viewer_1"),
    ]


async def test_kept_names_and_a_given_roster(archive: ChatArchive, tmp_path: Path) -> None:
    out = tmp_path / "messages.jsonl"
    roster = [("bob_smith", ""), ("kim99", "")]
    options: dict = {"format": "messages", "redact": True, "roster": roster}
    await export_experiences(archive, out, keep=["bob_smith"], **options)
    assert [row["text"] for row in lines(out)][0::2] == [
        "hi @viewer_1, write to [email]",
        "gg bob_smith",
    ]


async def test_progress_reaches_the_total(archive: ChatArchive, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    await export_experiences(
        archive, tmp_path / "x.jsonl", progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(7, 7)]


async def test_many_rows_are_written_in_batches(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'understudy.db'}")
    writer = LogWriter(database)
    await writer.start()
    for number in range(450):
        await writer.put(chat(number, f"user_{number}", f"hello @user_{number}"))
    await writer.close()
    seen: list[int] = []
    out = tmp_path / "x.jsonl"
    await export_experiences(
        ChatArchive(database),
        out,
        format="messages",
        redact=True,
        progress=lambda done, total: seen.append(done),
    )
    await database.close()
    assert seen == [200, 400, 450]
    assert [row["text"] for row in lines(out)] == [f"hello @viewer_{n + 1}" for n in range(450)]


async def test_an_old_file_is_replaced_whole_and_owner_only(
    archive: ChatArchive, tmp_path: Path
) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("old")
    await export_experiences(archive, out, format="messages")
    assert len(lines(out)) == 3
    assert names_in(tmp_path) == ["data", "x.jsonl"]
    if os.name == "posix":
        assert out.stat().st_mode & 0o077 == 0


async def test_an_unwritable_place_is_one_sentence(archive: ChatArchive, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is not a file: choose another name"):
        await export_experiences(archive, tmp_path)
    (tmp_path / "plain").write_text("")
    with pytest.raises(ExportError, match=r"cannot be written .*: make room or choose"):
        await export_experiences(archive, tmp_path / "plain" / "x.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(
    archive: ChatArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.jsonl"
    out.write_text("old")

    def on_a_full_disk(dir: Path, **_: object) -> object:
        (dir / "link.part").symlink_to("/dev/full")
        return open(dir / "link.part", "wb")

    monkeypatch.setattr(atomic_file.tempfile, "NamedTemporaryFile", on_a_full_disk)
    with pytest.raises(ExportError, match=os.strerror(errno.ENOSPC).lower()):
        await export_experiences(archive, out, format="messages")
    assert out.read_text() == "old"
    assert not (tmp_path / "link.part").is_symlink()


async def test_a_failure_in_the_middle_leaves_nothing(archive: ChatArchive, tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await export_experiences(archive, tmp_path / "x.jsonl", progress=fail)
    assert names_in(tmp_path) == ["data"]


def test_the_split_is_fixed_and_about_one_in_ten() -> None:
    sides = [split_of(f"session-{number}") for number in range(2_000)]
    assert 140 < sides.count("val") < 260
    # These never change: an exported session must not move to the other side.
    assert [n for n in range(30) if split_of(f"session-{n}") == "val"] == [11, 20, 26]
    assert split_of("lone \ud800") in {"train", "val"}


@pytest.mark.parametrize(
    ("rating", "weight"), [(0, 1.0), (1, 1.5), (2, 2.0), (9, 2.0), (-1, 0.0), (-0.5, 0.0)]
)
def test_weight_follows_the_rating(rating: float, weight: float) -> None:
    assert weight_of(rating) == weight
