import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.fakes.openai_server import OpenAIServer
from tests.fakes.scripts import Reply
from understudy.brains import choice as choice_module
from understudy.brains.base import BrainMessage, BrainRequest, Text
from understudy.brains.choice import Choice, choose
from understudy.brains.router import Router
from understudy.config import BrainSettings


def settings_for(**values: object) -> BrainSettings:
    return BrainSettings.model_validate({"local_urls": [], "words_per_second": 0, **values})


async def look(**values: object) -> Choice:
    return await choose(settings_for(**values))


def places(choice: Choice) -> list[str]:
    return [looked.place for looked in choice.looked]


@contextmanager
def free_port():
    """A port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield port


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[str]:
    """The URL of something that is no model server: it says `answer`, or nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read()
        elif await reader.readline():
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def test_what_is_asked_for_is_not_looked_for():
    choice = await look(provider="claude", openai_api_key="o")
    assert choice.provider == "claude"
    assert choice.why == "The claude brain answers: brain.provider asks for it."
    assert choice.looked == ()


async def test_without_anything_the_scripted_brain_answers():
    with free_port() as port:
        choice = await look(local_urls=[f"http://127.0.0.1:{port}/v1"])
    assert choice.provider == "scripted"
    assert choice.why == (
        "The scripted brain answers: brain.provider is auto and no model is set up."
    )
    assert places(choice) == [
        "a key for Claude",
        "a key for OpenAI",
        f"a model server at http://127.0.0.1:{port}/v1",
        "a local model",
    ]
    assert not any(looked.found or looked.blocked for looked in choice.looked)


async def test_no_servers_are_looked_for_when_none_are_named():
    assert places(await look()) == ["a key for Claude", "a key for OpenAI", "a local model"]


@pytest.mark.parametrize(
    ("values", "provider", "reason"),
    [
        ({"anthropic_api_key": "a", "openai_api_key": "o"}, "claude", "anthropic_api_key is set"),
        ({"openai_api_key": "o"}, "openai", "openai_api_key is set"),
        ({"api_key": "sk-ant-1", "openai_api_key": "o"}, "claude", "brain.api_key is set"),
        ({"api_key": "sk-1"}, "openai", "brain.api_key is set"),
        ({"base_url": "http://127.0.0.1:9/v1"}, "openai", "brain.base_url is set"),
    ],
)
async def test_the_first_key_decides(values, provider, reason):
    choice = await look(**values)
    assert choice.provider == provider
    assert choice.why.startswith(f"The {provider} brain answers: brain.provider is auto and ")
    assert choice.why.endswith(f"{reason}.")
    assert choice.looked[-1].found


async def test_a_key_without_its_package_is_pointed_out(monkeypatch):
    monkeypatch.setattr(choice_module, "find_spec", lambda name: None)
    choice = await look(anthropic_api_key="a", openai_api_key="o")
    assert choice.provider == "scripted"
    blocked = [looked.detail for looked in choice.looked if looked.blocked]
    assert blocked == [
        "brain.anthropic_api_key is set, but needs: pip install 'understudy[claude]'",
        "brain.openai_api_key is set, but needs: pip install 'understudy[openai]'",
    ]


async def test_a_local_server_that_answers_is_used():
    with free_port() as port:
        async with OpenAIServer(
            Reply(["Hi", "!"]), models=["nomic-embed-text", "llama3.2:latest"]
        ) as server:
            nobody = f"http://127.0.0.1:{port}/v1"
            choice = await look(local_urls=[nobody, server.url], api_key="", seed=7)
            assert choice.why == (
                "The openai brain answers: brain.provider is auto and the model server at "
                f"{server.url} has llama3.2:latest."
            )
            assert [looked.found for looked in choice.looked] == [False, False, False, True]
            router = Router.from_settings(choice.settings, why=choice.why)
            answer = router.stream(BrainRequest(messages=[BrainMessage("user", "hi")]))
            said = "".join([event.text async for event in answer if isinstance(event, Text)])
            assert said == "Hi!"
            assert (answer.provider, answer.model) == ("openai", "llama3.2:latest")
            assert answer.cost_micros == 0
            await router.aclose()


async def test_a_key_for_somebody_else_is_not_given_to_a_local_server(monkeypatch):
    monkeypatch.setattr(choice_module, "find_spec", lambda name: None)
    async with OpenAIServer(models=["m"]) as server:
        choice = await look(local_urls=[server.url], openai_api_key="o", api_key="k")
        assert choice.provider == "openai"
        assert all("authorization" not in request.headers for request in server.requests)
    settings = choice.settings
    assert settings.api_key.get_secret_value() == settings.openai_api_key.get_secret_value() == ""


async def test_the_first_server_of_the_list_is_used_not_the_quickest():
    async with OpenAIServer(models=["a"]) as first, OpenAIServer(models=["b"]) as second:
        choice = await look(local_urls=[second.url, first.url])
    assert choice.settings.model == "b"


async def test_a_server_must_have_the_model_that_is_asked_for():
    async with (
        OpenAIServer(models=["mistral"]) as first,
        OpenAIServer(models=["llama3.2:latest"]) as second,
    ):
        choice = await look(local_urls=[first.url, second.url], model="llama3.2")
    assert (choice.settings.base_url, choice.settings.model) == (second.url, "llama3.2")
    assert choice.looked[2].detail == "it answers, but does not have llama3.2"


@pytest.mark.parametrize(
    ("models", "detail"),
    [
        ([], "it answers, but has no model for chat"),
        (["bge-embed"], "it answers, but has no model for chat"),
        (["understudy", "default"], "this is an Understudy"),
    ],
)
async def test_a_server_without_a_model_for_chat_is_not_used(models, detail):
    async with OpenAIServer(models=models) as server:
        choice = await look(local_urls=[server.url])
    assert choice.provider == "scripted"
    assert choice.looked[2].detail == detail


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
    ],
    ids=["silence", "ssh", "404", "html"],
)
async def test_what_is_no_model_server_is_left_alone(answer):
    async with listening(answer) as url:
        choice = await look(local_urls=[url])
    assert choice.provider == "scripted"
    assert choice.looked[2].detail == "what listens there does not list models"


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:99999/v1", "http://"])
async def test_an_address_that_is_none_is_no_obstacle(url):
    choice = await look(local_urls=[url])
    assert choice.provider == "scripted"
    assert choice.looked[2].detail == "nothing answers there"


@pytest.mark.parametrize("key", ["model", "hf_model"])
async def test_a_local_folder_is_used(tmp_path: Path, key: str):
    async with OpenAIServer(models=[]) as server:
        choice = await look(**{key: str(tmp_path)}, local_urls=[server.url])
    assert (choice.provider, choice.settings.model) == ("huggingface", str(tmp_path))
    assert choice.why.endswith(f"brain.{key} names a local model.")


async def test_a_local_folder_needs_its_packages(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(choice_module, "find_spec", lambda name: None)
    choice = await look(model=str(tmp_path))
    assert choice.provider == "scripted"
    assert choice.looked[-1].blocked
    assert "pip install 'understudy[huggingface]'" in choice.looked[-1].detail
