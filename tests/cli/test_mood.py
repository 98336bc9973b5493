import json
from pathlib import Path

import pytest

from tests.cli.conftest import Understudy, one_line, served_model
from tests.fakes.openai_server import Reply
from tests.fakes.openai_tuning import Tuning
from tests.mood.mood_data import labelled
from understudy.config import Settings
from understudy.mood.chat_model import SYSTEM_PROMPT

CARROT = "that jump was insane PogChamp"


def write(path: Path, split: str = "tune", count: int | None = None) -> Path:
    """Labelled lines in the form of the classification export."""
    rows = [{"prompt": line.text, "completion": line.label} for line in labelled(split)[:count]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_message_is_scored(understudy: Understudy) -> None:
    scored = understudy("mood", "score", CARROT)
    assert scored.exit_code == 0
    label, score, text = scored.stdout.split(None, 2)
    assert (label, text) == ("positive", f"{CARROT}\n")
    assert float(score) > 0.5


def test_lines_of_stdin_are_scored(understudy: Understudy) -> None:
    scored = understudy("mood", "score", "-", "--json", stdin="so boring\n\nhi chat\n")
    rows = json.loads(scored.stdout)
    assert [(row["text"], row["label"]) for row in rows] == [
        ("so boring", "negative"),
        ("hi chat", "neutral"),
    ]
    assert [row["mood"] for row in rows] == ["hostile", "calm"]
    assert rows[0]["colour"].startswith("#d")
    assert understudy("mood", "score", "-", stdin="").stdout == ""


def test_a_channels_words_count(understudy: Understudy, settings: Settings) -> None:
    folder = settings.data_dir / "mood"
    folder.mkdir(parents=True)
    (folder / "ada.yaml").write_text("words: {glorp: -1}")
    (folder / "bob.yaml").write_text("words: [")
    assert understudy("mood", "score", "glorp").stdout.startswith("neutral")
    scored = understudy("mood", "score", "glorp", "--channel", "ada")
    assert scored.stdout.startswith("negative")
    assert "mood file bob.yaml" in scored.stderr


def test_training_makes_the_current_version(
    understudy: Understudy, workplace: Path, settings: Settings
) -> None:
    pytest.importorskip("sklearn", reason="the extra understudy[mood] is not installed")
    file = write(workplace / "labels.jsonl")
    trained = understudy("mood", "train", file)
    assert trained.exit_code == 0
    assert "of 219 messages: accuracy " in trained.stdout
    assert "macro-F1" in trained.stdout
    assert trained.stderr.splitlines() == [
        f"warning: only 73 lines are labelled {label}: 100 of each make a model worth having"
        for label in ("negative", "neutral", "positive")
    ]
    [version] = (settings.data_dir / "models" / "mood").iterdir()
    assert json.loads((version / "figures.json").read_text())["labels"]["neutral"] == 73
    assert version.name in trained.stdout
    scored = understudy("mood", "score", CARROT, "--trained")
    assert scored.stdout.startswith("positive")

    judged = json.loads(understudy("mood", "evaluate", file, "--json").stdout)
    assert list(judged) == ["lexicon", f"trained {version.name}"]
    assert judged["lexicon"]["lines"] == 219
    table = understudy("mood", "evaluate", file).stdout
    assert "accuracy" in table
    assert f"trained {version.name}" in table


def test_the_card_of_a_training_is_json(understudy: Understudy, workplace: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra understudy[mood] is not installed")
    file = write(workplace / "labels.jsonl", count=60)
    card = json.loads(understudy("mood", "train", file, "--json").stdout)
    assert card["figures"]["lines"] == 60
    assert 2 <= card["folds"] <= 10


def test_without_a_model_the_word_lists_are_judged(understudy: Understudy, workplace: Path) -> None:
    file = write(workplace / "labels.jsonl", count=30)
    with file.open("a") as more:
        more.write('{"prompt": "x", "completion": "spam"}\n')
    judged = understudy("mood", "evaluate", file)
    assert judged.exit_code == 0
    assert "lexicon" in judged.stdout
    assert "trained" not in judged.stdout
    assert judged.stderr == "left out, for their labels are no moods: spam (1)\n"


def test_a_fine_tuned_model_is_judged(
    understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(workplace / "labels.jsonl", count=12)
    with served_model(Reply(["neutral"])) as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        judged = understudy("mood", "evaluate", file, "--chat-model", "ft:mood", "--json")
    figures = json.loads(judged.stdout)["chat model ft:mood"]
    assert sum(row["neutral"] for row in figures["confusion"].values()) == 12
    assert {chat["model"] for chat in server.chats} == {"ft:mood"}


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are looked at without a pause."""
    pytest.importorskip("openai", reason="the extra understudy[openai] is not installed")
    monkeypatch.setattr("understudy.learning.providers.openai.POLL_SECONDS", 0.001)


@pytest.mark.usefixtures("no_pause")
def test_labels_are_uploaded_and_a_model_is_fine_tuned(
    understudy: Understudy, workplace: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(workplace / "labels.jsonl", count=12)
    with file.open("a") as more:
        more.write('{"prompt": "mail bob@example.com", "completion": "neutral"}\n')
        more.write('{"prompt": "not labelled", "completion": ""}\n')
        more.write('{"prompt": "buy", "completion": "spam"}\n')
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with served_model(api_key="sk-test") as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        done = understudy("mood", "upload", file, "--base", "small-model")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == (
        "ft:small-model:test:mood:abc is trained: set mood.classifier to openai and mood.model to "
        "that name\n"
    )
    told = done.stderr.splitlines()
    assert "left out, for their labels are no moods: spam (1)" in told
    assert any(line.startswith("job ftjob-1 on small-model, in ") for line in told)
    assert told[-1] == "The job is succeeded"
    (sent,) = server.tuning.files.values()
    lines = [json.loads(line)["messages"] for line in sent.splitlines()]
    assert len(lines) == 13
    assert lines[-1][0] == {"role": "system", "content": SYSTEM_PROMPT}
    assert lines[-1][1:] == [
        {"role": "user", "content": "mail [email]"},
        {"role": "assistant", "content": "neutral"},
    ]
    (job,) = server.tuning.jobs.values()
    assert (job["model"], job["training_file"], job["suffix"]) == ("small-model", "file-1", "mood")
    # It labels messages: it is no version of the co-host.
    assert not (settings.data_dir / "understudy.db").exists()


@pytest.mark.usefixtures("no_pause")
def test_the_job_need_not_be_followed(
    understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(workplace / "labels.jsonl", count=12)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with served_model(tuning=Tuning(("queued", "failed"), failure={"message": "odd"})) as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        begun = understudy("mood", "upload", file, "--base", "m", "--no-wait")
        assert begun.exit_code == 0, begun.stderr
        follow = "understudy train --provider openai --follow ftjob-1"
        assert begun.stdout.startswith(
            f"job ftjob-1 on m goes on at OpenAI: follow it with {follow}"
        )
        assert server.tuning.jobs["ftjob-1"]["status"] == "queued"
        failed = understudy(*follow.split()[1:])
        assert failed.exit_code == 1
        assert failed.stderr.splitlines()[-1] == "understudy: OpenAI failed: odd"


@pytest.mark.usefixtures("no_pause")
def test_an_upload_that_fails_is_one_sentence(
    understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = iter(range(9))
    # Several runs a second would get the same name.
    monkeypatch.setattr("understudy.cli.mood.new_run", lambda _: workplace / f"run{next(places)}")

    def refused(*arguments: object) -> str:
        done = understudy("mood", "upload", *arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        return done.stderr.splitlines()[-1]

    few, file = write(workplace / "few.jsonl", count=9), write(workplace / "all.jsonl")
    assert "training at OpenAI needs a key: set OPENAI_API_KEY" in refused(file, "--base", "m")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-1234")
    assert "there are 9 rows: OpenAI takes no fewer than 10" in refused(few, "--base", "m")
    with served_model(api_key="sk-test") as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        said = refused(file, "--base", "m")
        assert "does not accept the key: check brain.openai_api_key" in said
        assert "sk-wrong" not in said
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert "cannot be reached" in refused(file, "--base", "m")
    with served_model(models=["other"]) as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        said = refused(file, "--base", "m")
        assert "Model m is not available" in said


def test_mistakes_are_one_sentence(
    understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nowhere.jsonl cannot be read" in one_line(understudy("mood", "train", "nowhere.jsonl"))
    (workplace / "bad.jsonl").write_text("{}\n")
    assert "bad.jsonl, line 1 has no" in one_line(understudy("mood", "evaluate", "bad.jsonl"))
    (workplace / "empty.jsonl").write_text('{"prompt": "gg", "completion": ""}\n')
    empty = understudy("mood", "evaluate", "empty.jsonl")
    assert "holds no labelled messages" in one_line(empty)
    untrained = understudy("mood", "score", "gg", "--trained")
    assert "no mood model was trained yet" in one_line(untrained)
    file = write(workplace / "labels.jsonl", count=3)
    keyless = understudy("mood", "evaluate", file, "--chat-model", "ft:mood")
    assert "OPENAI_API_KEY" in one_line(keyless) or "openai_api_key" in one_line(keyless)
    nowhere = understudy("mood", "evaluate", file, "--transformer", "./nowhere")
    assert "cannot be loaded" in one_line(nowhere)
