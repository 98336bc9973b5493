"""Fine-tuning at OpenAI, through its real SDK, from a dataset to a version."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.openai_tuning_server import OpenAITuningServer
from tests.learning.versions.small_world import write_dataset, write_rows
from understudy.learning.providers.openai import (
    HostedEvent,
    HostedTraining,
    cancel_at_openai,
    train_with_openai,
)
from understudy.learning.registry import Registry
from understudy.learning.training.errors import TrainingError
from understudy.storage.engine import Database
from understudy.storage.versions import ModelVersions

pytest.importorskip("openai", reason="the extra understudy[openai] is not installed")
KEY = "sk-test-123456789"


@pytest.fixture
def asked(tmp_path: Path) -> HostedTraining:
    dataset = write_dataset(tmp_path / "20261101-000000-000", train=24, val=12)
    return HostedTraining(data=str(dataset), model="gpt-x", suffix="ada", epochs=2, seed=7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "hosted"


async def train(
    server: OpenAITuningServer, asked: HostedTraining, folder: Path, **options: Any
) -> Any:
    options = {"api_key": KEY, "base_url": server.url, "poll_seconds": 0.005, **options}
    return await train_with_openai(asked, folder, **options)


async def test_from_a_dataset_to_a_model(asked: HostedTraining, folder: Path) -> None:
    told: list[HostedEvent] = []
    async with OpenAITuningServer(api_key=KEY) as server:
        result = await train(server, asked, folder, on_event=told.append)
    assert (result.state, result.model, result.tokens) == ("done", "ft:gpt-x:test:ada:abc", 1234)
    (job,) = server.jobs.values()
    assert (job["model"], job["suffix"], job["seed"]) == ("gpt-x", "ada", 7)
    assert job["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2}},
    }
    train_file, held_out = (
        server.files[job[f"{kind}_file"]] for kind in ("training", "validation")
    )
    lines = [json.loads(line) for line in train_file.splitlines()]
    assert len(lines) == 24
    assert len(held_out.splitlines()) == 12
    assert lines[0]["messages"] == [
        {"role": "user", "content": "what about lava 0"},
        {"role": "assistant", "content": "the lava is so good here!"},
    ]
    messages = [event.message for event in told]
    assert messages == [
        "Created fine-tuning job",
        "The job is queued",
        "The job is running",
        "The job is succeeded",
    ]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["message"] for line in log] == messages
    assert json.loads((folder / "result.json").read_bytes()) == msgspec.to_builtins(result)


async def test_the_model_becomes_a_version(
    asked: HostedTraining, folder: Path, tmp_path: Path
) -> None:
    async with OpenAITuningServer() as server:
        result = await train(server, asked, folder)
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    registry = Registry(tmp_path / "models", ModelVersions(database))
    version = await registry.register_hosted(
        result.model, base=result.base, provider="openai", run=result.job, dataset="d1"
    )
    assert (version.id, version.base, version.metrics["model"]) == (
        ("all@1", "gpt-x", "ft:gpt-x:test:ada:abc")
    )
    await database.close()


async def test_a_done_run_is_not_paid_for_twice(asked: HostedTraining, folder: Path) -> None:
    async with OpenAITuningServer() as server:
        first = await train(server, asked, folder)
        count = len(server.requests)
        assert await train(server, asked, folder) == first
        assert (len(server.requests), len(server.jobs)) == (count, 1)


async def test_a_run_goes_on_where_it_was(asked: HostedTraining, folder: Path) -> None:
    async with OpenAITuningServer(("validating_files", "queued", "running")) as server:
        running = asyncio.create_task(train(server, asked, folder))
        await server.until(lambda: any(j["status"] == "running" for j in server.jobs.values()))
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        server._states = ("running", "succeeded")
        told: list[str] = []
        result = await train(server, asked, folder, on_event=lambda e: told.append(e.message))
    assert result.state == "done"
    assert (len(server.jobs), len(server.files)) == (1, 2)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in log}) == len(log)
    assert told[-1] == "The job is succeeded"


async def test_a_crash_right_after_the_job_was_begun(asked: HostedTraining, folder: Path) -> None:
    async with OpenAITuningServer() as server:
        await train(server, asked, folder)
        # As if only the upload had been noted.
        note = json.loads((folder / "job.json").read_bytes())
        (folder / "job.json").write_text(json.dumps({**note, "job": ""}))
        (folder / "result.json").unlink()
        assert (await train(server, asked, folder)).state == "done"
        assert len(server.jobs) == 1


async def test_a_failed_job_says_why(asked: HostedTraining, folder: Path) -> None:
    failure = {"code": "invalid_training_file", "message": "line 3\nis odd", "param": None}
    async with OpenAITuningServer(("queued", "failed"), failure=failure) as server:
        result = await train(server, asked, folder)
    assert (result.state, result.error) == (
        ("failed", "OpenAI failed: line 3 is odd (invalid_training_file)")
    )


async def test_a_job_can_be_cancelled(asked: HostedTraining, folder: Path) -> None:
    async with OpenAITuningServer(("queued", "running")) as server:
        with pytest.raises(TrainingError, match="there is nothing to cancel"):
            await cancel_at_openai(folder, api_key=KEY, base_url=server.url)
        running = asyncio.create_task(train(server, asked, folder))
        await server.until(lambda: any(j["status"] == "running" for j in server.jobs.values()))
        ended = await cancel_at_openai(folder, api_key=KEY, base_url=server.url)
        result = await running
    assert (ended.state, result.state) == ("stopped", "stopped")
    assert "was cancelled at OpenAI" in result.error


async def test_a_server_that_breaks_for_a_while_is_borne(
    asked: HostedTraining, folder: Path
) -> None:
    async with OpenAITuningServer(("queued", "running")) as server:
        running = asyncio.create_task(train(server, asked, folder))
        await server.until(lambda: any(j["status"] == "running" for j in server.jobs.values()))
        server.broken = 12
        await server.until(lambda: server.broken == 0)
        server._states = ("running", "succeeded")
        assert (await running).state == "done"


async def test_what_openai_would_not_take_is_not_sent(tmp_path: Path, folder: Path) -> None:
    few = tmp_path / "few.jsonl"
    write_rows(few, [{"prompt": f"q{n}", "response": "a"} for n in range(4)])
    async with OpenAITuningServer() as server:
        with pytest.raises(TrainingError, match=r"would not take few\.jsonl: .* 4 rows"):
            await train(server, HostedTraining(data=str(few), model="gpt-x"), folder)
        with pytest.raises(TrainingError, match="cannot be read"):
            await train(server, HostedTraining(data=str(tmp_path / "no"), model="gpt-x"), folder)
        assert server.requests == []


async def test_too_few_held_out_rows_are_left_out(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": f"q{n}", "response": "a", "meta": {"split": "val" if n < 3 else "train"}}
        for n in range(20)
    ]
    write_rows(file, rows)
    async with OpenAITuningServer() as server:
        await train(server, HostedTraining(data=str(file), model="gpt-x"), folder)
    (job,) = server.jobs.values()
    assert job["validation_file"] is None
    assert job["method"] == {"type": "supervised"}
    assert len(server.files["file-1"].splitlines()) == 17


async def test_what_goes_wrong_is_one_sentence(asked: HostedTraining, folder: Path) -> None:
    async with OpenAITuningServer(api_key="another") as server:
        with pytest.raises(TrainingError, match="does not accept the key") as caught:
            await train(server, asked, folder)
        assert KEY not in str(caught.value)
        with pytest.raises(TrainingError, match="needs a key"):
            await train(server, asked, folder, api_key="")
        note = json.loads((folder / "job.json").read_bytes())
        (folder / "job.json").write_text(json.dumps({**note, "training_file": "file-9"}))
        with pytest.raises(TrainingError, match=r"OpenAI refused \(400: .*file-9"):
            await train(server, asked, folder, api_key="another")
    with pytest.raises(TrainingError, match="cannot be reached: check the network"):
        await train(server, asked, folder)


async def test_another_run_in_the_folder_is_refused(asked: HostedTraining, folder: Path) -> None:
    async with OpenAITuningServer() as server:
        await train(server, asked, folder)
        other = msgspec.structs.replace(asked, epochs=3)
        with pytest.raises(TrainingError, match="holds another run"):
            await train(server, other, folder)
        (folder / "job.json").write_text('{"data": "x", "base": "y"}')
        with pytest.raises(TrainingError, match="is not of a run at OpenAI"):
            await train(server, asked, folder)
