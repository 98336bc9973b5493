"""`understudy train --provider openai`, against a server that trains nothing but says so."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import (
    Understudy,
    interrupted_when,
    one_line,
    served_model,
    usage_error,
)
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.openai_tuning import Tuning
from tests.learning.versions.small_world import write_dataset, write_rows
from understudy.config import Settings

OPENAI = ("train", "--provider", "openai")


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, and no pause between two looks at a job."""
    pytest.importorskip("openai", reason="the extra understudy[openai] is not installed")
    monkeypatch.setattr("understudy.learning.providers.openai.POLL_SECONDS", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


@pytest.fixture
def openai(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with served_model(api_key="sk-test") as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        yield server


@pytest.fixture
def dataset(settings: Settings) -> Path:
    folder = settings.data_dir / "learning" / "datasets" / "20261101-000000-000"
    return write_dataset(folder, train=24, val=12)


def test_a_dataset_becomes_a_model_and_a_version(
    understudy: Understudy, openai: OpenAIServer, dataset: Path, settings: Settings
) -> None:
    options = ("--base", "gpt-x", "--channel", "Ada's Café", "--epochs", 2, "--seed", 7)
    done = understudy(*OPENAI, "--data", dataset.name, *options)
    assert done.exit_code == 0, done.stderr
    model = "ft:gpt-x:test:ada-s-caf:abc"
    assert done.stdout == (
        f"{model} is trained: it is Ada_s_Caf_@1: set brain.provider to openai and brain.model to "
        "that name\n"
    )
    assert done.stderr.splitlines()[1:] == [
        "Created fine-tuning job",
        "The job is queued",
        "The job is running",
        "The job is succeeded",
    ]
    (job,) = openai.tuning.jobs.values()
    assert (job["model"], job["seed"], len(openai.tuning.files)) == ("gpt-x", 7, 2)
    assert job["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2}
    (run,) = (settings.data_dir / "learning" / "runs").iterdir()
    (version,) = json.loads(understudy("models", "list", "--json").stdout)
    assert (version["provider"], version["base"], version["metrics"]["model"]) == (
        ("openai", "gpt-x", model)
    )
    assert (version["dataset"], version["run"], version["channel"]) == (
        (dataset.name, run.name, "Ada's Café")
    )
    # Told once more, nothing is begun anew.
    again = understudy(*OPENAI, "--follow", "ftjob-1", "--json")
    assert json.loads(again.stdout) == {
        "state": "done",
        "error": "",
        "model": model,
        "base": "gpt-x",
        "job": "ftjob-1",
        "tokens": 1234,
        "run": str(run),
        "version": version["id"],
    }
    assert len(openai.tuning.jobs) == 1


def test_ctrl_c_leaves_the_job_running(
    understudy: Understudy, openai: OpenAIServer, dataset: Path
) -> None:
    openai.tuning.states = ("queued", "running")
    asked = (*OPENAI, "--data", dataset, "--base", "gpt-x", "--output-dir", "own")
    with interrupted_when(lambda: "running" in str(openai.tuning.jobs)):
        stopped = understudy(*asked)
    assert stopped.exit_code == 1
    last = stopped.stderr.splitlines()[-1]
    assert last == (
        "understudy: stopped, but job ftjob-1 goes on at OpenAI: follow it with understudy train "
        "--provider openai --follow ftjob-1 --output-dir own, or end it with understudy train "
        "--provider openai --cancel ftjob-1 --output-dir own"
    )
    assert openai.tuning.jobs["ftjob-1"]["status"] == "running"
    assert "no run here began the job ftjob-1" in one_line(
        understudy(*OPENAI, "--follow", "ftjob-1")
    )
    openai.tuning.states = ("running", "succeeded")
    followed = understudy(*OPENAI, "--follow", "ftjob-1", "--output-dir", "own")
    assert followed.exit_code == 0, followed.stderr
    assert "it is all@1" in followed.stdout
    assert len(openai.tuning.jobs) == 1


def test_a_job_is_cancelled(understudy: Understudy, openai: OpenAIServer, dataset: Path) -> None:
    openai.tuning.states = ("queued", "running")
    with interrupted_when(lambda: "running" in str(openai.tuning.jobs)):
        understudy(*OPENAI, "--data", dataset, "--base", "gpt-x")
    ended = understudy(*OPENAI, "--cancel", "ftjob-1")
    assert ended.stdout == "job ftjob-1 is cancelled\n"
    assert openai.tuning.jobs["ftjob-1"]["status"] == "cancelled"
    followed = understudy(*OPENAI, "--follow", "ftjob-1")
    assert "the job ftjob-1 was cancelled at OpenAI" in followed.stderr.splitlines()[-1]
    shown = understudy(*OPENAI, "--cancel", "ftjob-1", "--json")
    assert json.loads(shown.stdout)["state"] == "stopped"


def test_a_job_that_was_done_is_not_cancelled(
    understudy: Understudy, openai: OpenAIServer, dataset: Path
) -> None:
    understudy(*OPENAI, "--data", dataset, "--base", "gpt-x")
    ended = understudy(*OPENAI, "--cancel", "ftjob-1")
    assert "was done before it could be cancelled: its model is ft:gpt-x" in ended.stdout


def test_a_server_that_goes_away_tells_how_to_go_on(
    understudy: Understudy, openai: OpenAIServer, dataset: Path
) -> None:
    openai.tuning.states = ("queued", "running")
    openai.tuning.lost = 10_000
    failed = understudy(*OPENAI, "--data", dataset, "--base", "gpt-x")
    assert failed.exit_code == 1
    last = failed.stderr.splitlines()[-1]
    assert "refused (500: " in last
    assert "; then follow it with understudy train --provider openai --follow ftjob-1, or" in last


def test_a_file_that_openai_would_not_take_is_not_sent(
    understudy: Understudy, openai: OpenAIServer, workplace: Path
) -> None:
    rows = [{"prompt": f"q{n}", "response": "a"} for n in range(4)]
    write_rows(workplace / "few.jsonl", rows)
    asked = (*OPENAI, "--data", "few.jsonl")
    assert "name a model that OpenAI can train with --base" in one_line(understudy(*asked))
    said = one_line(understudy(*asked, "--base", "gpt-x"))
    assert "would not take few.jsonl: there are 4 rows" in said
    assert openai.requests == []


def test_the_model_of_the_settings_is_the_base(
    understudy: Understudy, openai: OpenAIServer, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_BRAIN__PROVIDER", "openai")
    monkeypatch.setenv("UNDERSTUDY_BRAIN__MODEL", "gpt-y")
    done = understudy(*OPENAI, "--data", dataset)
    assert "ft:gpt-y:test:understudy:abc is trained" in done.stdout


def test_the_key_of_another_provider_is_not_sent(
    understudy: Understudy,
    openai: OpenAIServer,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("UNDERSTUDY_BRAIN__PROVIDER", "claude")
    monkeypatch.setenv("UNDERSTUDY_BRAIN__API_KEY", "sk-ant-secret")
    asked = (*OPENAI, "--data", dataset, "--base", "gpt-x")
    assert "training at OpenAI needs a key: set OPENAI_API_KEY" in one_line(understudy(*asked))
    assert openai.requests == []


def test_wrong_usage(understudy: Understudy, dataset: Path) -> None:
    assert "--data" in usage_error(understudy(*OPENAI))
    assert "use local or openai" in usage_error(understudy("train", "--provider", "azure"))
    for option in (("--method", "kto"), ("--resume",), ("--4bit",), ("--old", dataset)):
        asked = (*OPENAI, "--data", dataset, *option)
        assert "are for training on this machine" in usage_error(understudy(*asked))
    here = usage_error(understudy("train", "--data", dataset))
    assert "--output-dir" in here
    assert "no run here began the job" in one_line(understudy(*OPENAI, "--cancel", "ftjob-7"))


def test_a_failed_job_says_why(
    understudy: Understudy, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = {"code": "invalid_training_file", "message": "line 3 is odd", "param": None}
    with served_model(tuning=Tuning(("queued", "failed"), failure=failure)) as server:
        monkeypatch.setenv("UNDERSTUDY_BRAIN__BASE_URL", server.url)
        failed = understudy(*OPENAI, "--data", dataset, "--base", "gpt-x")
    assert failed.exit_code == 1
    assert failed.stderr.splitlines()[-1] == (
        "understudy: OpenAI failed: line 3 is odd (invalid_training_file)"
    )
