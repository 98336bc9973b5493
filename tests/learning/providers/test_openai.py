"""Fine-tuning at OpenAI, through its real SDK, from a dataset to a version."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.http_server import Exchange
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.openai_tuning import Tuning
from tests.learning.versions.small_world import write_dataset, write_rows
from tests.serving import settings_for
from understudy.learning.providers.account import Account, account_of
from understudy.learning.providers.openai import (
    HostedEvent,
    HostedTraining,
    begin_at_openai,
    cancel_at_openai,
    find_run,
    follow_at_openai,
    train_with_openai,
)
from understudy.learning.training.errors import TrainingError
from understudy.learning.versions.registry import Registry
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


def is_running(server: OpenAIServer) -> bool:
    return any(job["status"] == "running" for job in server.tuning.jobs.values())


async def train(server: OpenAIServer, asked: HostedTraining, folder: Path, **options: Any) -> Any:
    options = {"account": Account(KEY, server.url), "poll_seconds": 0.005, **options}
    return await train_with_openai(asked, folder, **options)


async def test_from_a_dataset_to_a_model(asked: HostedTraining, folder: Path) -> None:
    told: list[HostedEvent] = []
    async with OpenAIServer(api_key=KEY) as server:
        result = await train(server, asked, folder, on_event=told.append)
    assert (result.state, result.model, result.tokens) == ("done", "ft:gpt-x:test:ada:abc", 1234)
    (job,) = server.tuning.jobs.values()
    assert (job["model"], job["suffix"], job["seed"]) == ("gpt-x", "ada", 7)
    assert job["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2}},
    }
    train_file, held_out = (
        server.tuning.files[job[f"{kind}_file"]] for kind in ("training", "validation")
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
        "Step 10/20: training loss=1.25",
        "The job is succeeded",
    ]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["message"] for line in log] == messages
    assert json.loads((folder / "result.json").read_bytes()) == msgspec.to_builtins(result)


async def test_the_model_becomes_a_version(
    asked: HostedTraining, folder: Path, tmp_path: Path
) -> None:
    async with OpenAIServer() as server:
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
    async with OpenAIServer() as server:
        first = await train(server, asked, folder)
        count = len(server.requests)
        assert await train(server, asked, folder) == first
        assert (len(server.requests), len(server.tuning.jobs)) == (count, 1)


async def test_a_run_goes_on_where_it_was(asked: HostedTraining, folder: Path) -> None:
    async with OpenAIServer(tuning=Tuning(("validating_files", "queued", "running"))) as server:
        running = asyncio.create_task(train(server, asked, folder))
        await server.until(lambda: is_running(server))
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        server.tuning.states = ("running", "succeeded")
        told: list[str] = []
        result = await train(server, asked, folder, on_event=lambda e: told.append(e.message))
    assert result.state == "done"
    assert (len(server.tuning.jobs), len(server.tuning.files)) == (1, 2)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in log}) == len(log)
    assert told[-1] == "The job is succeeded"


async def test_a_crash_right_after_the_job_was_begun(asked: HostedTraining, folder: Path) -> None:
    async with OpenAIServer() as server:
        await train(server, asked, folder)
        # As if only the upload had been noted.
        note = json.loads((folder / "job.json").read_bytes())
        (folder / "job.json").write_text(json.dumps({**note, "job": ""}))
        (folder / "result.json").unlink()
        assert (await train(server, asked, folder)).state == "done"
        assert len(server.tuning.jobs) == 1


async def test_a_failed_job_says_why(asked: HostedTraining, folder: Path) -> None:
    failure = {"code": "invalid_training_file", "message": "line 3\nis odd", "param": None}
    async with OpenAIServer(tuning=Tuning(("queued", "failed"), failure=failure)) as server:
        result = await train(server, asked, folder)
    assert (result.state, result.error) == (
        ("failed", "OpenAI failed: line 3 is odd (invalid_training_file)")
    )


async def test_a_job_can_be_cancelled(asked: HostedTraining, folder: Path) -> None:
    async with OpenAIServer(tuning=Tuning(("queued", "running"))) as server:
        with pytest.raises(TrainingError, match="there is nothing to follow or end"):
            await cancel_at_openai(folder, Account(KEY, server.url))
        running = asyncio.create_task(train(server, asked, folder))
        await server.until(lambda: is_running(server))
        ended = await cancel_at_openai(folder, Account(KEY, server.url))
        result = await running
    assert (ended.state, result.state) == ("stopped", "stopped")
    assert "was cancelled at OpenAI" in result.error


async def test_a_server_that_breaks_for_a_while_is_borne(
    asked: HostedTraining, folder: Path
) -> None:
    async with OpenAIServer(tuning=Tuning(("queued", "running"))) as server:
        running = asyncio.create_task(train(server, asked, folder))
        await server.until(lambda: is_running(server))
        server.tuning.broken = 12
        await server.until(lambda: server.tuning.broken == 0)
        server.tuning.states = ("running", "succeeded")
        assert (await running).state == "done"


async def test_what_openai_would_not_take_is_not_sent(tmp_path: Path, folder: Path) -> None:
    few = tmp_path / "few.jsonl"
    write_rows(few, [{"prompt": f"q{n}", "response": "a"} for n in range(4)])
    async with OpenAIServer() as server:
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
    async with OpenAIServer() as server:
        await train(server, HostedTraining(data=str(file), model="gpt-x"), folder)
    (job,) = server.tuning.jobs.values()
    assert job["validation_file"] is None
    assert job["method"] == {"type": "supervised"}
    assert len(server.tuning.files["file-1"].splitlines()) == 17


async def test_what_goes_wrong_is_one_sentence(asked: HostedTraining, folder: Path) -> None:
    async with OpenAIServer(api_key="another") as server:
        with pytest.raises(TrainingError, match="does not accept the key") as caught:
            await train(server, asked, folder)
        assert KEY not in str(caught.value)
        note = json.loads((folder / "job.json").read_bytes())
        (folder / "job.json").write_text(json.dumps({**note, "training_file": "file-9"}))
        with pytest.raises(TrainingError, match=r" refused \(400: .*file-9"):
            await train(server, asked, folder, account=Account("another", server.url))
    with pytest.raises(TrainingError, match=r"http://127\.0\.0\.1:\d+/v1 cannot be reached: check"):
        await train(server, asked, folder)


async def test_another_run_in_the_folder_is_refused(asked: HostedTraining, folder: Path) -> None:
    async with OpenAIServer() as server:
        await train(server, asked, folder)
        other = msgspec.structs.replace(asked, epochs=3)
        with pytest.raises(TrainingError, match="holds another run"):
            await train(server, other, folder)
        (folder / "job.json").write_text('{"data": "x", "base": "y"}')
        with pytest.raises(TrainingError, match="is not of a run at OpenAI"):
            await train(server, asked, folder)


async def test_a_job_is_found_again_by_its_id(asked: HostedTraining, folder: Path) -> None:
    broken = folder.parent / "broken"
    broken.mkdir(parents=True)
    (broken / "job.json").write_text('{"data": "x", "base": "y"}')
    async with OpenAIServer() as server:
        account = Account(KEY, server.url)
        job = await begin_at_openai(asked, folder, account)
        assert await begin_at_openai(asked, folder, account) == job
        assert len(server.tuning.jobs) == 1
        places = sorted(folder.parent.iterdir())
        assert find_run(places, job) == (folder, asked)
        for unknown in ("ftjob-9", ""):
            with pytest.raises(TrainingError, match="no run here began the job"):
                find_run(places, unknown)
        assert (await follow_at_openai(folder, account, poll_seconds=0.005)).state == "done"


async def test_beginning_a_job_is_not_tried_again_by_itself(
    asked: HostedTraining, folder: Path
) -> None:
    async with OpenAIServer() as server:
        account = Account(KEY, server.url)
        create, asked_for = server.tuning._create, []

        def lose_the_answer(exchange: Exchange, body: Any) -> None:
            asked_for.append(body)
            create(Exchange(exchange.request, Unheard()), body)  # type: ignore[arg-type]
            exchange.reset()

        server.tuning._create = lose_the_answer  # type: ignore[method-assign]
        with pytest.raises(TrainingError, match="cannot be reached"):
            await begin_at_openai(asked, folder, account)
        assert len(asked_for) == 1
        assert await begin_at_openai(asked, folder, account) == "ftjob-1"
    assert (len(asked_for), len(server.tuning.jobs)) == (1, 1)


class Unheard:
    """Where an answer goes that nobody hears."""

    def write(self, data: bytes) -> None:
        pass


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"provider": "openai", "api_key": "k1"}, "k1"),
        ({"provider": "auto", "api_key": "sk-ant-1", "openai_api_key": "k2"}, "k2"),
        ({"provider": "claude", "api_key": "k1", "openai_api_key": "k2"}, "k2"),
    ],
)
def test_the_key_of_another_provider_stays_at_home(
    tmp_path: Path, flags: dict[str, str], key: str
) -> None:
    settings = settings_for(tmp_path, **{f"brain__{name}": value for name, value in flags.items()})
    account = account_of(settings)
    assert (account.key, account.url) == (key, "https://api.openai.com/v1")
    assert key not in repr(account)
    there = settings_for(tmp_path, brain__openai_api_key="k", brain__base_url="http://u:p@box:1")
    account = account_of(there)
    assert (account.url, account.title) == (
        ("http://u:p@box:1/v1", "the model server at http://box:1/v1")
    )


def test_an_account_needs_a_key_and_an_address(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs a key: set OPENAI_API_KEY"):
        account_of(settings_for(tmp_path, brain__provider="claude", brain__api_key="k1"))
    with pytest.raises(TrainingError, match=r"brain\.base_url is no URL"):
        account_of(settings_for(tmp_path, brain__openai_api_key="k", brain__base_url="box"))
