"""Versions in vLLM, in Ollama and in this process: the same behaviour behind one protocol."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from tests.fakes.http_server import Exchange, HttpServer
from tests.fakes.ollama_server import OllamaServer
from tests.fakes.vllm_server import VllmServer
from tests.tiny_model import build_adapter, build_model
from understudy.brains.base import BrainError, BrainMessage, BrainRequest, Text
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, load_model
from understudy.brains.openai import OpenAIBrain
from understudy.learning.serving.base import ServedVersions
from understudy.learning.serving.local import LocallyServed
from understudy.learning.serving.ollama import OllamaServed
from understudy.learning.serving.vllm import VllmServed
from understudy.learning.versions.errors import VersionError

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder with the names of an adapter."""
    folder = tmp_path / "models" / "all@1" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason="the extra understudy[huggingface] is not installed")
    folder = tmp_path_factory.mktemp("served")
    base = build_model(folder / "base")
    for seed in (1, 2):
        build_adapter(base, folder / f"adapter{seed}", seed=seed)
    return folder


@pytest.fixture
async def brain(tiny: Path) -> AsyncIterator[HuggingFaceBrain]:
    options = LoadOptions(model=str(tiny / "base"), device="cpu", dtype="float32")
    brain = HuggingFaceBrain(options, Engine(partial(load_model, options), width=8))
    yield brain
    await brain.aclose()


# --- one protocol


async def behaves(served: ServedVersions, one: Path, two: Path) -> None:
    """What holds wherever versions are served."""
    assert await served.versions() == ["base"]
    await served.load("all@1", one)
    await served.load("all@2", two)
    assert await served.versions() == ["base", "all@1", "all@2"]
    with pytest.raises((VersionError, BrainError), match="is loaded already"):
        await served.load("all@1", one)
    assert served.model("all@1") != served.model("all@2")
    await served.promote("all@1")
    for kept in ("all@1", "base"):
        with pytest.raises((VersionError, BrainError), match="promote another first"):
            await served.unload(kept)
    with pytest.raises((VersionError, BrainError), match="is not loaded"):
        await served.promote("all@9")
    await served.promote("base")
    await served.unload("all@1")
    assert await served.versions() == ["base", "all@2"]


async def test_in_this_process(brain: HuggingFaceBrain, tiny: Path) -> None:
    await behaves(LocallyServed(brain), tiny / "adapter1", tiny / "adapter2")


async def test_in_vllm(adapter: Path) -> None:
    async with VllmServer("tiny") as server:
        served = VllmServed(server.url, "tiny")
        await behaves(served, adapter, adapter)
        assert server.adapters == {"all@2": str(adapter)}
        assert (served.model("base"), served.model("")) == ("tiny", "tiny")
        await served.aclose()


async def test_in_ollama(adapter: Path) -> None:
    async with OllamaServer(["tiny:latest"]) as server:
        served = OllamaServed(server.origin, "tiny")
        await behaves(served, adapter, adapter)
        assert list(server.made) == ["understudy-all:2"]
        assert server.made["understudy-all:2"]["adapter_model.safetensors"] == b"weights"
        # The second version has the files of the first, which are sent once.
        assert sum(r.method == "POST" and "blobs" in r.path for r in server.requests) == 2
        await served.aclose()


# --- vLLM


async def test_vllm_answers_with_the_version_that_is_asked_for(adapter: Path) -> None:
    async with VllmServer("tiny") as server:
        served = VllmServed(server.url, "tiny")
        await served.load("all@1", adapter)
        for version in ("base", "all@1"):
            brain = OpenAIBrain.compatible(server.url, served.model(version))
            assert await brain.chat([BrainMessage("user", "hi")])
            await brain.aclose()
        assert [chat["model"] for chat in server.chats] == ["tiny", "all@1"]
        await served.aclose()


async def test_vllm_elsewhere_sees_the_folder_under_another_name(
    adapter: Path, tmp_path: Path
) -> None:
    async with VllmServer("tiny") as server:
        served = VllmServed(server.url, "tiny", folder=tmp_path / "models", seen="/mnt/models/")
        with pytest.raises(VersionError, match="No adapter found for /mnt/models/all@1/adapter"):
            await served.load("all@1", adapter)
        await served.aclose()


async def test_what_is_wrong_with_vllm_is_told(adapter: Path) -> None:
    async with VllmServer("tiny", updating=False, api_key="k") as server:
        served = VllmServed(server.url, "tiny", api_key="k")
        with pytest.raises(VersionError, match="refused POST /v1/load_lora_adapter"):
            await served.load("all@1", adapter)
        await served.aclose()
        other = VllmServed(server.url, "another", api_key="k")
        with pytest.raises(VersionError, match=r"does not serve another \(it has tiny\)"):
            await other.versions()
        await other.aclose()


async def test_a_server_that_is_not_there(adapter: Path) -> None:
    async with VllmServer("tiny") as server:
        url = server.url
    for served in (VllmServed(url, "tiny"), OllamaServed(url, "tiny")):
        with pytest.raises(VersionError, match=r"cannot be reached .* start it or correct"):
            await served.load("all@1", adapter)
        await served.aclose()


class Nonsense(HttpServer):
    async def answer(self, exchange: Exchange) -> None:
        exchange.respond(200, b"<html>", {}, content_type="text/html")


async def test_a_server_of_another_kind() -> None:
    async with Nonsense() as server:
        for served in (VllmServed(server.origin, "tiny"), OllamaServed(server.origin, "tiny")):
            with pytest.raises(VersionError, match="lists no models: check that it is"):
                await served.versions()
            await served.aclose()


# --- Ollama


async def test_what_ollama_says_is_told(adapter: Path) -> None:
    async with OllamaServer(["other:latest"]) as server:
        served = OllamaServed(server.origin, "tiny")
        with pytest.raises(VersionError, match="404: model 'tiny' not found"):
            await served.load("all@1", adapter)
        await served.aclose()
    async with OllamaServer(["tiny"], failure="unsupported architecture") as server:
        served = OllamaServed(server.origin, "tiny")
        with pytest.raises(VersionError, match=r"did not make .* \(unsupported architecture\)"):
            await served.load("all@1", adapter)
        (adapter / "adapter_config.json").unlink()
        with pytest.raises(VersionError, match=r"cannot be read .*: restore it"):
            await served.load("all@1", adapter)
        await served.aclose()


async def test_ollama_may_stream_its_states(adapter: Path) -> None:
    async with OllamaServer(["tiny"], streams=True) as server:
        served = OllamaServed(server.origin, "tiny")
        await served.load("my.channel@12", adapter)
        assert list(server.made) == ["understudy-my.channel:12"]
        assert await served.versions() == ["base", "my.channel@12"]
        await served.unload("my.channel@12")
        await served.unload("my.channel@12")
        await served.aclose()


# --- in this process


async def test_replies_under_way_keep_their_version(brain: HuggingFaceBrain, tiny: Path) -> None:
    served = LocallyServed(brain)
    await served.load("all@1", tiny / "adapter1")
    request = BrainRequest(messages=[BrainMessage("user", "hello")], temperature=0.0, max_tokens=30)

    async def say(version: str) -> str:
        events = brain.stream(request, version)
        return "".join([event.text async for event in events if isinstance(event, Text)])

    alone = await say("all@1")
    async with aclosing(brain.stream(request, "all@1")) as events:
        first = await anext(events)
        assert isinstance(first, Text)
        await served.load("all@2", tiny / "adapter2")
        await served.promote("all@2")
        rest = [event.text async for event in events if isinstance(event, Text)]
    assert first.text + "".join(rest) == alone
    assert await say("") == await say("all@2") != alone
    # The way back gives the same answers to the byte.
    await served.promote("all@1")
    assert await say("") == alone
