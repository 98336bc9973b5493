import json
from pathlib import Path

import msgspec
import pytest
import typer

from tests.cli.conftest import Json, Understudy, one_line, store, usage_error
from understudy.cli.export import must_redact, parse_since
from understudy.config import Settings
from understudy.events import ChatMessage
from understudy.safety.untrusted import SYSTEM_RULE, quote_viewer
from understudy.storage.rows import ChatRow, ExperienceRow, FeedbackRow

CASES: list[Json] = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "pii_cases.jsonl")
    .read_text("utf-8")
    .splitlines()
]
PLANTED = [case for case in CASES if case["must_not_contain"]]
DAY = 86_400_000
START = 20_000 * DAY


def chat(number: int, text: str, **changes: object) -> ChatRow:
    fields: Json = {"id": f"m{number}", "channel": "alice", "ts": START + number, "user": "bob_b"}
    return ChatRow(ChatMessage(**{**fields, "text": text, **changes}))


def experience(number: int, text: str, response: str, **changes: object) -> ExperienceRow:
    fields: Json = {
        "id": f"run{number:04}",
        "ts": START + number,
        "channel": "alice",
        "session": f"s{number}",
        "user": "bob_b",
        "persona": "default",
        "model": "scripted-1",
        "prompt_messages": [
            {"role": "system", "content": f"You are kind.\n\n{SYSTEM_RULE}\n\nIt is late."},
            {"role": "user", "content": quote_viewer("bob_b", text)},
        ],
        "prompt_text": text,
        "response": response,
        "status": "complete",
    }
    return ExperienceRow(**{**fields, **changes})


@pytest.fixture
def planted(settings: Settings) -> Settings:
    """An archive in which every case of personal data was said, and said again by the co-host."""
    rows = [chat(n, case["text"]) for n, case in enumerate(PLANTED)]
    store(
        settings,
        *rows,
        *(experience(n, case["text"], case["text"]) for n, case in enumerate(PLANTED)),
    )
    return settings


def read(out: Path) -> list[Json]:
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_there_are_enough_planted_cases() -> None:
    assert len(PLANTED) >= 30


@pytest.mark.parametrize(
    "format", ["experiences", "openai", "messages", "tensorzero", "classification"]
)
def test_nothing_planted_is_left(
    planted: Settings, understudy: Understudy, workplace: Path, format: str
) -> None:
    done = understudy("export", "--out", "out.jsonl", "--format", format, "--redact")
    assert done.exit_code == 0
    rows = read(workplace / "out.jsonl")
    assert len(rows) == len(PLANTED)
    for case, row in zip(PLANTED, rows, strict=True):
        said = json.dumps(row, ensure_ascii=False)
        for secret in [*case["must_not_contain"], "bob_b"]:
            assert secret not in said, case["text"]


def test_exports_are_equal_to_the_byte(
    planted: Settings, understudy: Understudy, workplace: Path
) -> None:
    for format in ("experiences", "openai", "messages", "classification"):
        understudy("export", "--out", "a.jsonl", "--format", format)
        understudy("export", "--out", "b.jsonl", "--format", format)
        assert (workplace / "a.jsonl").read_bytes() == (workplace / "b.jsonl").read_bytes() != b""


def test_messages_stand_as_they_are_unless_redacted(
    settings: Settings, understudy: Understudy, workplace: Path
) -> None:
    store(settings, chat(1, "mail me: bob@example.com"))
    plain = understudy("export", "--out", "out.jsonl", "--format", "messages")
    assert plain.stdout == "1 rows in out.jsonl, 0 skipped, not redacted\n"
    assert read(workplace / "out.jsonl") == [
        {
            "id": "m1",
            "ts": START + 1,
            "channel": "alice",
            "user": "bob_b",
            "text": "mail me: bob@example.com",
        }
    ]
    again = understudy("export", "--out", "out.jsonl", "--format", "messages", "--no-redact")
    assert again.stdout == plain.stdout
    redacted = understudy("export", "--out", "out.jsonl", "--format", "messages", "--redact")
    assert redacted.stdout == "1 rows in out.jsonl, 0 skipped, 1 places redacted\n"
    (row,) = read(workplace / "out.jsonl")
    assert (row["user"], row["text"]) == ("viewer_1", "mail me: [email]")


def test_the_cohosts_own_names_stay(
    settings: Settings,
    understudy: Understudy,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNDERSTUDY_PERSONA__NAME", "Robin")
    monkeypatch.setenv("UNDERSTUDY_PERSONA__ALIASES", "robbo77")
    text = "@Robin or robbo77 or carla_x?"
    speakers = ("robin", "robbo77", "carla_x")
    store(settings, *(chat(n, "hi", user=user) for n, user in enumerate(speakers)))
    store(settings, experience(1, text, text))
    understudy("export", "--out", "out.jsonl")
    (row,) = read(workplace / "out.jsonl")
    assert row["response"] == "@Robin or robbo77 or viewer_2?"


def test_the_rule_about_envelopes_leaves_no_gap(
    settings: Settings, understudy: Understudy, workplace: Path
) -> None:
    store(settings, experience(1, "hello", "Hi!"))
    understudy("export", "--out", "out.jsonl")
    (row,) = read(workplace / "out.jsonl")
    assert row["messages"][0]["content"] == "You are kind.\n\nIt is late."


def test_since_and_channel_choose(
    settings: Settings, understudy: Understudy, workplace: Path
) -> None:
    store(
        settings,
        experience(0, "old", "a"),
        experience(DAY, "new", "b"),
        experience(DAY + 1, "other", "c", channel="carol"),
    )

    def responses(*options: str) -> list[str]:
        assert understudy("export", "--out", "out.jsonl", *options).exit_code == 0
        return [row["response"] for row in read(workplace / "out.jsonl")]

    assert responses() == ["a", "b", "c"]
    assert responses("--since", "2024-10-05") == ["b", "c"]
    assert responses("--since", "2024-10-05", "--channel", "alice") == ["b"]
    assert responses("--channel", "nobody") == []


def test_json_counts_by_kind(planted: Settings, understudy: Understudy) -> None:
    report = msgspec.json.decode(understudy("export", "--out", "out.jsonl", "--json").stdout)
    assert (report["rows"], report["skipped"]) == (len(PLANTED), 0)
    assert report["redacted"]["email"] >= 2
    assert list(report["redacted"]) == sorted(report["redacted"])


def test_since_is_utc_unless_it_says_otherwise() -> None:
    assert parse_since("") == 0
    assert parse_since("1970-01-02") == DAY
    assert parse_since("1970-01-02T01:00+01:00") == DAY
    assert parse_since("1970-01-01T00:00:00.250Z") == 250
    with pytest.raises(typer.BadParameter, match="is not a time"):
        parse_since("yesterday")


def test_training_data_is_always_redacted(understudy: Understudy) -> None:
    assert must_redact("openai", None)
    assert must_redact("experiences", True)
    assert not must_redact("messages", None)
    refused = usage_error(understudy("export", "--out", "x", "--no-redact"))
    assert "experiences is always redacted" in refused


def test_wrong_usage(understudy: Understudy) -> None:
    unknown = usage_error(understudy("export", "--out", "x", "--format", "parquet"))
    assert "use one of experiences, messages, openai" in unknown
    assert "is not a time" in usage_error(understudy("export", "--out", "x", "--since", "soon"))
    assert "Missing option '--out'" in usage_error(understudy("export"))


def test_without_a_database_nothing_is_made(
    understudy: Understudy, settings: Settings, workplace: Path
) -> None:
    assert "there is no database at" in one_line(understudy("export", "--out", "out.jsonl"))
    assert not settings.data_dir.exists()
    assert list(workplace.iterdir()) == []


def test_an_unwritable_place_is_one_sentence(
    planted: Settings, understudy: Understudy, workplace: Path
) -> None:
    (workplace / "file").touch()
    assert "cannot be written" in one_line(understudy("export", "--out", "file/out.jsonl"))
    assert "is not a file" in one_line(understudy("export", "--out", workplace))


def test_a_newer_database_is_left_alone(
    understudy: Understudy, newer_database: Settings, workplace: Path
) -> None:
    assert "newer" in one_line(understudy("export", "--out", "out.jsonl"))
    assert not (workplace / "out.jsonl").exists()


def thumb(number: int, value: float) -> FeedbackRow:
    return FeedbackRow(
        id=f"f{number}", experience=f"run{number:04}", ts=START, kind="thumb", value=value, by="kim"
    )


def test_nothing_planted_is_left_in_preferences(
    planted: Settings, understudy: Understudy, workplace: Path
) -> None:
    store(planted, *(thumb(n, 1 if n % 2 else -1) for n in range(len(PLANTED))))
    edits = [
        FeedbackRow(
            id=f"e{n}",
            experience=f"run{n:04}",
            ts=START,
            kind="edit",
            value=1.0,
            by="kim",
            text=f"Better: {case['text']}",
        )
        for n, case in enumerate(PLANTED)
    ]
    store(planted, *edits)
    for format in ("kto", "pairs"):
        done = understudy("export", "--out", "out.jsonl", "--format", format)
        assert (done.exit_code, done.stderr) == (0, "")
        rows = read(workplace / "out.jsonl")
        assert len(rows) == len(PLANTED)
        for case, row in zip(PLANTED, rows, strict=True):
            said = json.dumps(row, ensure_ascii=False)
            for secret in [*case["must_not_contain"], "bob_b"]:
                assert secret not in said, case["text"]


def test_what_should_be_known_is_a_warning(settings: Settings, understudy: Understudy) -> None:
    store(settings, experience(0, "hi", "Hello."), thumb(0, 1))
    done = understudy("export", "--out", "kto.jsonl", "--format", "kto")
    assert done.exit_code == 0
    assert done.stderr.startswith("warning: all thumbs are up")
    done = understudy("export", "--out", "o.jsonl", "--format", "openai", "--json")
    assert "warning: there are 1 rows: OpenAI takes no fewer than 10" in done.stderr
    report = msgspec.json.decode(done.stdout)
    assert report["warnings"] == ["there are 1 rows: OpenAI takes no fewer than 10"]
