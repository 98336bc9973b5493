"""`docs/add-a-brain.md` is true: its files are installed as a package and used.

Blocks fenced with `~~~` are files; the word after the language is the file's name.
"""

import asyncio
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openai_server import OpenAIServer
from tests.fakes.scripts import Failure, Reply
from understudy.brains.base import BrainError, BrainMessage, BrainRequest, Finish, Text, Usage
from understudy.brains.choice import choose
from understudy.brains.prices import load_prices
from understudy.brains.providers import GROUP, load_providers
from understudy.brains.router import Router
from understudy.config import BrainSettings, load_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "add-a-brain.md"
FILE = re.compile(r"^~~~\w+ (\S+)\n(.*?)^~~~$", re.MULTILINE | re.DOTALL)
KEY = "nvapi-test"
REQUEST = BrainRequest(messages=[BrainMessage("user", "hi")], system_prompt="Be kind.", text="hi")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The document's files in a folder, installed as far as Python can tell."""
    files = dict(FILE.findall(DOCUMENT.read_text(encoding="utf-8")))
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    metadata = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = "\n".join(
        f"{name} = {value}" for name, value in project["entry-points"][GROUP].items()
    )
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    yield tmp_path
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)


def settings_for(package: Path, **flags: str) -> BrainSettings:
    """The document's settings."""
    return load_settings(
        package / "understudy.toml",
        env={},
        env_file=None,
        flags={f"brain.{name}": value for name, value in flags.items()},
    ).brain


async def router_for(settings: BrainSettings, package: Path) -> Router:
    choice = await choose(settings)
    prices = load_prices(package / "prices.yaml")
    return Router.from_settings(choice.settings, why=choice.why, prices=prices)


def test_nothing_is_imported_before_it_is_asked_for(package):
    assert {"nvidia", "line", "scripted"} <= set(load_providers())
    assert "nvidia_brain" not in sys.modules


async def test_the_provider_streams_through_the_router(package):
    async with OpenAIServer(Reply(["Hel", "lo"], input_tokens=50), api_key=KEY) as server:
        router = await router_for(settings_for(package, base_url=server.url), package)
        assert router.why == "The nvidia brain answers: brain.provider asks for it."
        answer = router.stream(REQUEST)
        events = [event async for event in answer]
        await router.aclose()
    assert [e.text for e in events if isinstance(e, Text)] == ["Hel", "lo"]
    assert {Usage(50, 2), Finish()} <= set(events)
    assert (answer.provider, answer.model) == ("nvidia", "meta/llama-3.3-70b-instruct")
    assert answer.cost_micros == round(50 * 0.2 + 2 * 0.8)
    (asked,) = server.chats
    assert asked["model"] == answer.model
    assert asked["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
    ]


async def test_retries_and_fallback_are_around_it(package):
    script = [Failure(503), Reply(["second"]), Failure(401)]
    async with OpenAIServer(script) as server:
        router = await router_for(settings_for(package, base_url=server.url), package)
        first, second = router.stream(REQUEST), router.stream(REQUEST)
        assert [e async for e in first if isinstance(e, Text)] == [Text("second")]
        assert [e async for e in second if isinstance(e, Text)]
        await router.aclose()
    assert (first.provider, second.provider) == ("nvidia", "scripted")
    assert "NVIDIA_API_KEY" in second.note
    assert KEY not in second.note
    assert second.note in router.problems()
    assert len(server.chats) == 3


async def test_it_says_what_it_needs(package, monkeypatch):
    monkeypatch.delenv("NVIDIA_API_KEY")
    with pytest.raises(BrainError, match="the nvidia brain needs a key: set NVIDIA_API_KEY"):
        await router_for(settings_for(package), package)


async def test_a_dialect_of_its_own(package):
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readline()
        writer.write(b"You said: " + question)
        if question != b"wait\n":
            writer.write(b"Good bye.\n")
        else:
            await reader.read()
            left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        router = await router_for(settings_for(package, provider="line", base_url=url), package)
        events = [event async for event in router.stream(REQUEST)]
        assert events == [Text("You said: hi\n"), Text("Good bye.\n"), Finish()]
        waiting = router.stream(BrainRequest(messages=[], text="wait"))
        assert await anext(waiting) == Text("You said: wait\n")
        await waiting.aclose()
        await asyncio.wait_for(left.wait(), 5)
    with pytest.raises(BrainError, match="needs brain"):
        await router_for(settings_for(package, provider="line"), package)
    settings = settings_for(package, provider="line", base_url=url)
    alone = settings.model_copy(update={"fallback": ["none"], "retries": 0})
    with pytest.raises(BrainError, match="nothing answers at 127") as caught:
        await anext((await router_for(alone, package)).stream(REQUEST))
    assert caught.value.kind == "unavailable"
