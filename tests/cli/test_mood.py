import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Understudy, one_line
from tests.fakes.openai_server import OpenAIServer, Reply
from tests.mood.mood_data import labelled
from understudy.config import Settings
from understudy.mood.chat_model import SYSTEM_PROMPT

CARROT = "that jump was insane PogChamp"


def write(path: Path, split: str = "tune", count: int | None = None) -> Path:
    """Labelled lines in the form of the classification export."""
    rows = [{"prompt": line.text, "completion": line.label} for line in labelled(split)[:count]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@contextmanager
def served_model(script: Reply = Reply(), **options: Any) -> Iterator[OpenAIServer]:
    """A fake model server in a thread of its own."""
    started: list[OpenAIServer] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with OpenAIServer(script, **options) as server:
            started.append(server)
            ready.set()
            await asyncio.to_thread(over.wait)

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        assert ready.wait(20)
        try:
            yield started[0]
        finally:
            over.set()
        serving.result(timeout=20)


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


def uploaded(server: OpenAIServer) -> list[list[dict[str, str]]]:
    """The conversations in the file that came in."""
    form = server.requests[0].body.decode()
    assert 'name="purpose"\r\n\r\nfine-tune\r\n' in form
    lines = [line for line in form.splitlines() if line.startswith('{"messages"')]
    return [json.loads(line)["messages"] for line in lines]


def test_labels_are_uploaded_and_a_model_is_fine_tuned(
    understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="the extra understudy[openai] is not installed")
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
    assert (
        "13 messages are uploaded, job ftjob-test on small-model: validating_files" in done.stdout
    )
    assert "mood.classifier" in done.stdout
    assert done.stderr.splitlines()[-1] == "left out, for their labels are no moods: spam (1)"
    sent = uploaded(server)
    assert len(sent) == 13
    assert sent[-1][0] == {"role": "system", "content": SYSTEM_PROMPT}
    assert sent[-1][1:] == [
        {"role": "user", "content": "mail [email]"},
        {"role": "assistant", "content": "neutral"},
    ]
    job = server.requests[1].json
    assert job == {"model": "small-model", "training_file": "file-test", "suffix": "mood"}


def test_an_upload_that_fails_is_one_sentence(
    understudy: Understudy, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="the extra understudy[openai] is not installed")

    def refused(*arguments: object) -> str:
        done = understudy("mood", "upload", *arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        return done.stderr.splitlines()[-1]

    few, file = write(workplace / "few.jsonl", count=9), write(workplace / "all.jsonl")
    assert "only 9 labelled messages" in refused(few, "--base", "m")
    assert "fine-tuning needs a key: set OPENAI_API_KEY" in refused(file, "--base", "m")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-1234")
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
