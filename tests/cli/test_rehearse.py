import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import msgspec
import pytest
import typer

from tests.cli.conftest import (
    Json,
    Understudy,
    interrupted_when,
    one_line,
    served,
    usage_error,
    wait_until,
)
from tests.serving import Running, settings_for
from understudy.cli.rehearse import parse_speed
from understudy.cli.token import parse_ttl
from understudy.config import Settings
from understudy.server.auth import issue_token, load_secret

SAMPLE = Path(__file__).parent.parent / "data" / "sample_stream.jsonl"


@pytest.fixture
def recording(workplace: Path) -> Path:
    """The first minutes of the sample stream, with two lines that cannot be read."""
    lines = SAMPLE.read_text("utf-8").splitlines()[:120]
    lines.insert(4, "{oops")
    lines.insert(9, '{"ts": "soon", "channel": "c", "user": "u", "text": "t"}')
    path = workplace / "chat.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def report_of(understudy: Understudy, *arguments: object) -> Json:
    done = understudy("rehearse", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return msgspec.json.decode(done.stdout)


def test_a_seed_gives_the_same_report_to_the_byte(
    understudy: Understudy, recording: Path, workplace: Path, tmp_path: Path
) -> None:
    for data, report in [("one", "a.json"), ("one", "b.json"), ("two", "c.json")]:
        done = understudy(
            "rehearse", recording, "--seed", 5, "--report", report, "--data", tmp_path / data
        )
        assert done.exit_code == 0
    first = (workplace / "a.json").read_bytes()
    assert first == (workplace / "b.json").read_bytes() == (workplace / "c.json").read_bytes()
    report = msgspec.json.decode(first)
    assert report["state"] == "finished"
    assert report["seed"] == 5
    assert report["events"]["ChatMessage"] == len(report["fates"])
    assert all(reply["text"] for reply in report["replies"])
    assert report["replies"]


def test_another_seed_says_something_else(understudy: Understudy, recording: Path) -> None:
    said = [
        [reply["text"] for reply in report_of(understudy, recording, "--seed", seed)["replies"]]
        for seed in (1, 2)
    ]
    assert said[0] != said[1]


def test_the_summary_shows_decisions_and_bad_lines(understudy: Understudy, recording: Path) -> None:
    done = understudy("rehearse", recording)
    assert done.exit_code == 0
    first, *decisions = done.stdout.splitlines()
    assert first.startswith("pixelharbor: ")
    assert first.endswith(" s of stream")
    counts = [int(line.split()[0]) for line in decisions]
    assert counts == sorted(counts, reverse=True)
    assert any(line.split()[1] == "answered:" for line in decisions)
    bad = done.stderr.splitlines()
    assert bad[0].startswith("  line 5 skipped: not valid JSON")
    assert bad[1].startswith("  line 10 skipped: ")
    assert bad[2] == "  2 lines skipped"


def test_another_channel(understudy: Understudy, recording: Path) -> None:
    assert report_of(understudy, recording, "--channel", "stage")["channels"] == ["stage"]


def test_a_running_server_plays_it_just_the_same(
    understudy: Understudy, recording: Path, server: Running
) -> None:
    here = report_of(understudy, recording, "--seed", 7)
    there = report_of(understudy, recording, "--seed", 7, "--url", server.url)
    assert there == here


def test_a_long_recording_is_uploaded_in_pieces(
    understudy: Understudy, server: Running, workplace: Path
) -> None:
    assert SAMPLE.stat().st_size > 65_536
    report = report_of(understudy, SAMPLE, "--seed", 1, "--url", server.url)
    assert report["bad_line_count"] == 0
    assert report["events"]["ChatMessage"] > 500


def test_a_server_with_tokens(understudy: Understudy, recording: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "server", auth__required=True)
    with served(settings) as server:
        arguments = ["rehearse", recording, "--url", server.url]
        assert "token" in one_line(understudy(*arguments))
        token = issue_token(load_secret(settings), "ada", "moderator", parse_ttl("1h"))
        assert understudy(*arguments, "--token", token).exit_code == 0


def test_what_cannot_be_played_is_one_sentence_here_and_there(
    understudy: Understudy, settings: Settings, server: Running, workplace: Path
) -> None:
    (workplace / "text").write_text("just some text\n" * 9, encoding="utf-8")
    for place in ([], ["--url", server.url]):
        assert "nowhere cannot be read" in one_line(understudy("rehearse", "nowhere", *place))
        assert "is not recorded chat" in one_line(understudy("rehearse", "text", *place))
    assert "does not answer" in one_line(
        understudy("rehearse", "text", "--url", "http://127.0.0.1:9")
    )


def test_a_failed_upload_is_thrown_away(
    understudy: Understudy, server: Running, workplace: Path
) -> None:
    one_line(understudy("rehearse", workplace, "--url", server.url))
    spool = server.application.settings.data_dir / "rehearsals"
    assert list(spool.iterdir()) == []


def test_a_missing_file_leaves_nothing_behind(understudy: Understudy, settings: Settings) -> None:
    one_line(understudy("rehearse", "nowhere.jsonl"))
    assert not settings.data_dir.exists()


def test_a_report_that_cannot_be_written_is_refused_at_once(
    understudy: Understudy, recording: Path, workplace: Path, settings: Settings
) -> None:
    for report in (workplace, workplace / "no" / "report.json"):
        refused = one_line(understudy("rehearse", recording, "--report", report))
        assert "cannot be written: choose a file in a folder that exists" in refused
    assert not settings.data_dir.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(understudy: Understudy, recording: Path) -> None:
    refused = understudy("rehearse", recording, "--report", "/dev/full")
    assert refused.exit_code == 1
    assert "/dev/full cannot be written" in refused.stderr


@pytest.mark.parametrize(
    ("text", "speed"), [("max", None), ("1", 1.0), ("10", 10.0), ("0.5", 0.5), ("1000", 1000.0)]
)
def test_speeds(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "1001", "nan", "inf"])
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="use a number from above 0 to 1000, or max"):
        parse_speed(text)


def test_wrong_usage(understudy: Understudy) -> None:
    assert "or max" in usage_error(understudy("rehearse", "x", "--speed", "warp"))
    assert "--seed" in usage_error(understudy("rehearse", "x", "--seed", "-1"))


def test_ctrl_c_stops_the_rehearsal_on_the_server(
    understudy: Understudy, recording: Path, server: Running
) -> None:
    def states() -> set[str]:
        listed = httpx2.get(f"{server.url}/api/v1/rehearsals").json()["rehearsals"]
        return {rehearsal["state"] for rehearsal in listed}

    with interrupted_when(lambda: "running" in states()):
        ended = understudy("rehearse", recording, "--speed", "1", "--url", server.url)
    assert ended.exit_code not in {0, 2}
    wait_until(lambda: states() == {"stopped"})


def test_ctrl_c_ends_a_rehearsal_here(
    understudy: Understudy, recording: Path, settings: Settings
) -> None:
    def playing() -> bool:
        return (settings.data_dir / "understudy.db").exists() and "pixelharbor" in channels()

    def channels() -> list[str]:
        with closing(sqlite3.connect(settings.data_dir / "understudy.db")) as connection:
            try:
                return [name for (name,) in connection.execute("SELECT name FROM channel")]
            except sqlite3.OperationalError:
                return []

    with interrupted_when(playing):
        ended = understudy("rehearse", recording, "--speed", "1")
    assert ended.exit_code not in {0, 2}
    assert not (settings.data_dir / "understudy.db-wal").exists()
