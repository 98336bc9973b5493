import json
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Understudy, one_line, usage_error
from understudy.config import Settings

DATA = Path(__file__).parent.parent / "data"
SAMPLE = DATA / "sample_stream.jsonl"


def archived(understudy: Understudy, out: Path) -> list[dict[str, object]]:
    assert understudy("export", "--format", "messages", "--out", out).exit_code == 0
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_importing_twice_changes_nothing(understudy: Understudy, tmp_path: Path) -> None:
    lines = len(SAMPLE.read_text("utf-8").splitlines())
    first = understudy("import", SAMPLE)
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout == f"{lines} read: {lines} new, 0 known before, 0 skipped\n"
    before = archived(understudy, tmp_path / "before.jsonl")
    again = understudy("import", SAMPLE)
    assert again.stdout == f"{lines} read: 0 new, {lines} known before, 0 skipped\n"
    assert archived(understudy, tmp_path / "after.jsonl") == before


def test_every_format_is_recognised(understudy: Understudy, tmp_path: Path) -> None:
    files = (DATA / "twitchdownloader_chat.json", DATA / "chat.csv")
    summary = msgspec.json.decode(understudy("import", *files, "--json").stdout)
    messages = archived(understudy, tmp_path / "out.jsonl")
    # The rest are subs, raids and the like.
    assert summary["new"] == summary["read"] > len(messages) == 6
    texts = {message["text"] for message in messages}
    assert {"evening all, day nine, be gentle", 'he said "pull the lever", twice'} <= texts


def test_a_channel_can_be_given(understudy: Understudy, tmp_path: Path) -> None:
    understudy("import", DATA / "chat.csv", "--channel", "#Elsewhere", "--format", "csv")
    messages = archived(understudy, tmp_path / "out.jsonl")
    assert [m["channel"] for m in messages] == ["elsewhere", "elsewhere"]


def test_malformed_lines_are_named_counted_and_skipped(
    understudy: Understudy, workplace: Path
) -> None:
    good = SAMPLE.read_text("utf-8").splitlines()[:3]
    (workplace / "chat.jsonl").write_text(
        "\n".join([good[0], "{oops", good[1], '{"ts": 1, "user": "a"}', good[2]]), encoding="utf-8"
    )
    imported = understudy("import", "chat.jsonl")
    assert imported.exit_code == 0
    assert imported.stdout == "3 read: 3 new, 0 known before, 2 skipped\n"
    first, second = imported.stderr.splitlines()
    assert first.startswith("chat.jsonl:2: not valid JSON: ")
    assert second.startswith("chat.jsonl:4: ")


def test_only_some_of_many_malformed_lines_are_shown(
    understudy: Understudy, workplace: Path
) -> None:
    good = SAMPLE.read_text("utf-8").splitlines()[0]
    (workplace / "chat.jsonl").write_text(good + "\n{" * 30, encoding="utf-8")
    imported = understudy("import", "chat.jsonl")
    assert imported.stderr.splitlines()[-1] == "… and 10 more"
    assert len(imported.stderr.splitlines()) == 21
    assert imported.stdout.endswith("30 skipped\n")


def test_a_long_file_is_imported_whole(understudy: Understudy, workplace: Path) -> None:
    lines = [
        json.dumps({"ts": 1_700_000_000 + n, "channel": "c", "user": f"u{n % 50}", "text": f"m{n}"})
        for n in range(2_500)
    ]
    (workplace / "long.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert understudy("import", "long.jsonl").stdout.startswith("2500 read: 2500 new")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08", "is compressed: unpack it first"),
        (b"just some text", "is not recorded chat"),
    ],
)
def test_what_is_no_recording_is_one_sentence(
    understudy: Understudy, workplace: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (workplace / "file").write_bytes(content)
    assert said in one_line(understudy("import", "file"))


def test_a_missing_file_leaves_nothing_behind(understudy: Understudy, settings: Settings) -> None:
    assert "nowhere.jsonl cannot be read" in one_line(understudy("import", SAMPLE, "nowhere.jsonl"))
    assert not settings.data_dir.exists()


def test_a_newer_database_is_left_alone(understudy: Understudy, newer_database: Settings) -> None:
    assert "newer" in one_line(understudy("import", SAMPLE))


def test_wrong_usage(understudy: Understudy) -> None:
    assert "use auto, jsonl" in usage_error(understudy("import", SAMPLE, "--format", "xml"))
    assert "Missing argument" in usage_error(understudy("import"))
