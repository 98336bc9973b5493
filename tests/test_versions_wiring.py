"""Trained versions in the whole program: deployed, answered by, recorded, rolled back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import Reply
from tests.fakes.vllm_server import VllmServer
from tests.serving import Running, running, settings_for
from tests.tiny_model import build_adapter, build_model
from tests.waiting import until
from understudy.app import Application
from understudy.config import SettingsError
from understudy.engine.runs import run_of_reply
from understudy.learning.evaluation.judging import registry_of
from understudy.learning.versions.deploying import Deploying, Override
from understudy.storage.rows import BASE
from understudy.storage.versions import ModelVersion

# PEFT asks a model for something that transformers has renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
OLGA = Override("olga", "for the test")


async def add_version(server: Running, number: int, base: Path) -> str:
    """A version with random weights, registered as the gates would have it."""
    services = server.application.services
    name = f"all@{number}"
    folder = services.settings.data_dir / "models" / name / "adapter"
    build_adapter(base, folder, seed=number)
    version = ModelVersion(id=name, base=str(base), base_hash="b", adapter_hash="a", created=number)
    await registry_of(services.settings, services.database).versions.add(version)
    return name


def deploying(server: Running) -> Deploying:
    services = server.application.services
    return Deploying(registry_of(services.settings, services.database))


async def ask(server: Running, user: str = "ben") -> dict[str, Any]:
    body = {"session_id": f"s-{user}", "user": user, "message": "what about the lava?"}
    answer = await server.http.post("/chat", json=body)
    assert answer.status_code == 200, answer.text
    run = run_of_reply(answer.json()["message_id"])
    services = server.application.services
    await services.log.flushed()
    experience = await services.experiences.get(run)
    assert experience is not None
    return {"version": experience.version, "model": experience.model}


class TestLocal:
    """The model of this process."""

    @pytest.fixture
    async def server(self, tmp_path: Path) -> AsyncIterator[Running]:
        pytest.importorskip("peft", reason="the extra understudy[huggingface] is not installed")
        base = build_model(tmp_path / "base", window=4_096)
        flags = {"brain__provider": "huggingface", "brain__model": str(base)}
        flags |= {"brain__reply_tokens": 16, "brain__device": "cpu"}
        async with running(settings_for(tmp_path / "data", **flags)) as server:
            yield server

    async def test_what_is_deployed_answers_and_is_recorded(
        self, server: Running, tmp_path: Path
    ) -> None:
        choice = server.application.versions.choice
        assert (await ask(server))["version"] == ""
        name = await add_version(server, 1, tmp_path / "base")
        await deploying(server).promote(name, actor="olga", override=OLGA)
        await until(lambda: choice.choose("", "ben") == name)
        said = await ask(server)
        assert said["version"] == name
        assert said["model"].endswith("@all@1")
        await deploying(server).roll_back(actor="olga", reason="it was a test")
        await until(lambda: choice.choose("", "ben") in {"", BASE})
        assert (await ask(server))["version"] == ""

    async def test_a_canary_answers_its_share_of_people(
        self, server: Running, tmp_path: Path
    ) -> None:
        choice = server.application.versions.choice
        name = await add_version(server, 1, tmp_path / "base")
        await deploying(server).canary(name, actor="olga", share=0.5, override=OLGA)
        await until(lambda: choice.deployment("") is not None)
        people = [f"viewer{number}" for number in range(8)]
        drawn = {user for user in people if choice.choose("", user) == name}
        assert 0 < len(drawn) < len(people)
        for user in people:
            expected = name if user in drawn else ""
            assert [(await ask(server, user))["version"] for _ in range(2)] == [expected] * 2

    async def test_what_cannot_be_loaded_is_told(self, server: Running, tmp_path: Path) -> None:
        name = await add_version(server, 1, tmp_path / "base")
        models = server.application.services.settings.data_dir / "models"
        (models / name / "adapter" / "adapter_model.safetensors").write_bytes(b"no weights")
        await deploying(server).promote(name, actor="olga", override=OLGA)
        problems = server.application.services.problems
        await until(lambda: any(name in problem for problem in problems()))
        assert (await ask(server))["version"] == ""


async def test_a_vllm_server_is_asked_for_versions_by_name(tmp_path: Path) -> None:
    async with VllmServer("tiny", Reply(["yes"])) as model_server:
        flags = {"brain__provider": "openai", "brain__base_url": model_server.url}
        flags |= {"brain__model": "tiny", "learning__server": "vllm"}
        async with running(settings_for(tmp_path / "data", **flags)) as server:
            choice = server.application.versions.choice
            name = await add_version(server, 1, build_model(tmp_path / "base"))
            await deploying(server).promote(name, actor="olga", override=OLGA)
            await until(lambda: choice.choose("", "ben") == name)
            assert (await ask(server))["version"] == name
            assert list(model_server.adapters) == [name]


async def test_versions_need_the_server_that_answers(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="vllm, which must be what answers"):
        await Application(settings_for(tmp_path, learning__server="vllm")).__aenter__()


async def test_a_night_needs_a_model_that_can_be_trained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no model answers that could be trained"):
        await Application(settings_for(tmp_path, learning__every="night")).__aenter__()
