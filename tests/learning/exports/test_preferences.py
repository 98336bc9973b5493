import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.learning.logged import address, exchange, log, said, stream
from understudy.learning.exports.experiences import export_experiences
from understudy.learning.exports.preferences import export_preferences
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = await Database.open(address(tmp_path))
    try:
        yield found
    finally:
        await found.close()


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_thumbs(database: Database, tmp_path: Path) -> None:
    stopped = exchange(9, "and then", "It was", status="stopped")
    judged = [said(0, "thumb"), said(1, "thumb", -1), said(9, "thumb"), said(2, "note")]
    unsafe = [said(3, "thumb"), said(3, "safety", -1)]
    await log(database, *stream(5), stopped, *judged, *unsafe)
    report = await export_preferences(database, tmp_path / "kto.jsonl", format="kto")
    assert (report.rows, report.skipped, report.warnings) == (2, 4, [])
    up, down = lines(tmp_path / "kto.jsonl")
    assert (up["label"], up["meta"]["id"]) == (True, "run_00000")
    assert (down["label"], down["meta"]["id"]) == (False, "run_00001")
    assert set(up) == {"prompt", "response", "messages", "label", "meta"}
    assert up["messages"][1]["content"].startswith("viewer_1: ")


@pytest.mark.parametrize(("value", "way"), [(1, "up"), (-1, "down")])
async def test_one_sided_thumbs_are_warned_of(
    database: Database, tmp_path: Path, value: int, way: str
) -> None:
    await log(database, *stream(3), said(0, "thumb", value), said(1, "thumb", value))
    report = await export_preferences(database, tmp_path / "kto.jsonl", format="kto")
    assert report.rows == 2
    (warning,) = report.warnings
    assert warning.startswith(f"all thumbs are {way}: ")


async def test_corrections_and_rankings(database: Database, tmp_path: Path) -> None:
    ranking = msgspec.json.encode(["Best, viewer1", "Good", "Bad"]).decode()
    rows = [exchange(0, "hi", "Go away."), exchange(1, "bye", "So?"), exchange(2, "yo", "Yo.")]
    edit = said(0, "edit", text="Hello, write to kim@example.com!")
    await log(database, *rows, edit, said(1, "rank", text=ranking), said(2, "rank", text="nothing"))
    out = tmp_path / "pairs.jsonl"
    report = await export_preferences(database, out, format="pairs", channel="alice")
    assert (report.rows, report.skipped, report.redacted) == (3, 1, {"email": 1, "name": 2})
    assert [(row["chosen"], row["rejected"]) for row in lines(out)] == [
        ("Hello, write to [email]!", "Go away."),
        ("Best, viewer_2", "Good"),
        ("Best, viewer_2", "Bad"),
    ]


async def test_a_correction_takes_the_place_of_the_reply(
    database: Database, tmp_path: Path
) -> None:
    await log(
        database,
        *stream(4),
        said(0, "edit", text="Better."),
        said(0, "thumb", -1),
        said(1, "safety", -1),
    )
    out = tmp_path / "rows.jsonl"
    report = await export_experiences(ChatArchive(database), out)
    assert (report.rows, report.skipped) == (3, 1)
    assert (lines(out)[0]["response"], lines(out)[0]["meta"]["weight"]) == ("Better.", 3.0)


async def test_an_openai_file_that_is_too_short_is_warned_of(
    database: Database, tmp_path: Path
) -> None:
    archive = ChatArchive(database)
    await log(database, *stream(4))
    report = await export_experiences(archive, tmp_path / "o.jsonl", format="openai")
    assert report.warnings == ["there are 4 rows: OpenAI takes no fewer than 10"]
    await log(database, *stream(10, first=20))
    report = await export_experiences(archive, tmp_path / "o.jsonl", format="openai")
    assert report.warnings == []
    report = await export_experiences(archive, tmp_path / "t.jsonl", format="tensorzero")
    assert (report.rows, lines(tmp_path / "t.jsonl")[0]["tags"]["id"]) == (14, "run_00000")
