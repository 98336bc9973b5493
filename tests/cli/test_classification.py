"""From chat over labels to a mood model: the export, MongoDB's labels, the training."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Json, Understudy, one_line, store, usage_error
from tests.mood.mood_data import labelled
from tests.storage.mongo_server import wire_server
from understudy.config import Settings
from understudy.events import ChatMessage, Moderation
from understudy.storage.chat_tail import MessageKey
from understudy.storage.mongo_labels import MongoLabels
from understudy.storage.rows import ChatRow, ModerationRow

DAY = 86_400_000
START = 20_000 * DAY
"""A day of October 2024."""


def chat(number: int, text: str, channel: str = "ada", user: str = "bob_b") -> ChatRow:
    ts = START + number * DAY
    return ChatRow(ChatMessage(id=f"m{number}", channel=channel, ts=ts, user=user, text=text))


def key(number: int, channel: str = "ada") -> MessageKey:
    return MessageKey(channel, START + number * DAY, f"m{number}")


def read(out: Path) -> list[Json]:
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def wire_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with wire_server(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.fixture
def mongo(wire_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a MongoDB that the commands know."""
    monkeypatch.setenv("UNDERSTUDY_MONGO__URL", wire_url)
    return wire_url


def label(url: str, *labels: tuple[MessageKey, str, str]) -> None:
    """Label messages in MongoDB as (key, text, label)."""

    async def work() -> None:
        mongo = MongoLabels(url)
        for key, text, completion in labels:
            await mongo.set(key, text, completion)
        await mongo.close()

    asyncio.run(work())


def test_every_message_waits_for_a_label(
    settings: Settings, understudy: Understudy, workplace: Path
) -> None:
    gone = Moderation(id="x", channel="ada", ts=START + 9, kind="delete", message_id="m2")
    store(
        settings,
        chat(1, "gg"),
        chat(2, "removed by a moderator"),
        chat(3, "mail bob@example.com, bob_b"),
        chat(4, "elsewhere", "other"),
        ModerationRow(gone),
    )
    out = workplace / "out.jsonl"
    done = understudy("export", "--out", out, "--format", "classification", "--channel", "ada")
    assert done.exit_code == 0
    assert read(out) == [
        {"prompt": "gg", "completion": ""},
        {"prompt": "mail [email], viewer_1", "completion": ""},
    ]
    assert done.stdout == f"2 rows in {out}, 1 skipped, 2 places redacted\n"
    assert done.stderr == (
        "warning: no line is labelled yet: write a label into each completion, "
        "such as negative, neutral or positive\n"
    )


def test_an_archive_of_nothing_is_an_empty_file(
    settings: Settings, understudy: Understudy, workplace: Path
) -> None:
    store(settings, chat(1, "gg"))
    command = ["export", "--out", "out.jsonl", "--format", "classification"]
    done = understudy(*command, "--since", "2030-01-01")
    assert (done.exit_code, done.stderr) == (0, "")
    assert read(workplace / "out.jsonl") == []
    assert "classification is always redacted" in usage_error(understudy(*command, "--no-redact"))


def test_labels_of_mongodb_find_their_messages(
    settings: Settings, understudy: Understudy, workplace: Path, mongo: str
) -> None:
    store(settings, chat(1, "gg"), chat(2, "boo"), chat(3, "hm"), chat(4, "so good", "other"))
    label(
        mongo,
        (key(2), "boo", " negative"),
        (key(4, "other"), "so good", "hype"),
        (key(7), "only in MongoDB, kim@example.com", "hype"),
        (key(-50), "long ago", "negative"),
    )
    out = workplace / "out.jsonl"
    command = ["export", "--out", out, "--format", "classification"]
    done = understudy(*command, "--channel", "ada")
    assert read(out) == [
        {"prompt": "gg", "completion": ""},
        {"prompt": "boo", "completion": "negative"},
        {"prompt": "hm", "completion": ""},
        {"prompt": "long ago", "completion": "negative"},
        {"prompt": "only in MongoDB, [email]", "completion": "hype"},
    ]
    assert done.stderr.splitlines() == [
        "warning: only 1 lines are labelled hype: 100 of each make a model worth having",
        "warning: only 2 lines are labelled negative: 100 of each make a model worth having",
    ]
    later = json.loads(understudy(*command, "--since", "2024-10-07", "--json").stdout)
    assert later["labels"] == {"hype": 2}
    assert [row["prompt"] for row in read(out)][:1] == ["hm"]


def test_a_mongodb_that_is_away_fails_the_export(
    settings: Settings, understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(settings, chat(1, "gg"))
    monkeypatch.setenv("UNDERSTUDY_MONGO__URL", "mongodb://kim:hunter2@[bad")
    done = understudy("export", "--out", "out.jsonl", "--format", "classification")
    assert "mongo.url is not a MongoDB address" in one_line(done)
    assert not (workplace / "out.jsonl").exists()


def test_a_model_is_trained_on_the_labels_in_mongodb(
    settings: Settings, understudy: Understudy, workplace: Path, mongo: str
) -> None:
    pytest.importorskip("sklearn", reason="the extra understudy[mood] is not installed")
    lines = labelled("tune")[:30]
    rows = [(key(n, "trainee"), line.text, line.label) for n, line in enumerate(lines)]
    spam = (key(99, "trainee"), "buy followers", "spam")
    label(mongo, *rows, spam, (key(1, "another"), "not of this channel", "positive"))
    trained = understudy("mood", "train", "--mongo", "--channel", "trainee", "--json")
    assert trained.exit_code == 0, trained.stderr
    card = json.loads(trained.stdout)
    assert sum(card["labels"].values()) == 30
    *warnings, left_out = trained.stderr.splitlines()
    assert len(warnings) == 3
    assert left_out == "left out, for their labels are no moods: spam (1)"
    scored = understudy("mood", "score", "gg", "--trained")
    assert scored.exit_code == 0
    # And a file beside them.
    more = workplace / "more.jsonl"
    more.write_text('{"prompt": "gg", "completion": "positive"}\n')
    command = ["mood", "train", more, "--mongo", "--channel", "trainee", "--json"]
    both = json.loads(understudy(*command).stdout)
    assert sum(both["labels"].values()) == 31


def test_what_was_exported_and_labelled_is_learned(
    settings: Settings, understudy: Understudy, workplace: Path
) -> None:
    pytest.importorskip("sklearn", reason="the extra understudy[mood] is not installed")
    lines = labelled("tune")[:30]
    store(settings, *(chat(n, line.text) for n, line in enumerate(lines)))
    out = workplace / "out.jsonl"
    understudy("export", "--out", out, "--format", "classification")
    nothing = understudy("mood", "train", out)
    assert "fewer than two lines labelled negative or neutral or positive" in nothing.stderr
    rows = [row | {"completion": line.label} for row, line in zip(read(out), lines, strict=True)]
    # As some editors save it.
    out.write_text("\ufeff" + "\r\n".join(map(json.dumps, rows)), encoding="utf-8")
    trained = understudy("mood", "train", out)
    assert trained.exit_code == 0, trained.stderr
    assert "of 30 messages: accuracy " in trained.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "fewer than two lines labelled negative or neutral or positive"),
        (b'{"prompt": "gg", "completion": "positive"}\n' * 200, "labelled negative or neutral:"),
        (b'{"prompt": "gg", "completion": "hype"}\n' * 200, "labelled negative or neutral or"),
        ('{"prompt": "gg"}'.encode("utf-16"), "line 1 is not UTF-8: save the file as UTF-8"),
        (b'{"prompt": "caf\xe9", "completion": ""}', "line 1 is not UTF-8"),
    ],
)
def test_labels_that_teach_nothing_are_one_sentence(
    understudy: Understudy, workplace: Path, settings: Settings, content: bytes, said: str
) -> None:
    (workplace / "labels.jsonl").write_bytes(content)
    done = understudy("mood", "train", "labels.jsonl")
    assert done.exit_code == 1
    assert said in done.stderr.splitlines()[-1]
    assert not (settings.data_dir / "models").exists()


def test_what_to_learn_from_must_be_named(understudy: Understudy) -> None:
    assert "name a file of labels, or use --mongo" in one_line(understudy("mood", "train"))
    assert "mongo.url is not set" in one_line(understudy("mood", "train", "--mongo"))
