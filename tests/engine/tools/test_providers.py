"""A reply with tools through the real brains, against servers that check the order of messages."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.engine.tools.conftest import Bench, Deed
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.http_server import HttpServer
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.scripts import Call, Reply
from understudy.brains.base import Brain, Text
from understudy.brains.claude import ClaudeBrain
from understudy.brains.openai import OpenAIBrain
from understudy.brains.router import Router

KEY = "sk-test-0123456789abcdef"
SCRIPT = [
    Reply(["Let me look."], calls=[Call("clock", id="call_a"), Call("odd", id="call_b")]),
    Reply(["It is late."]),
]

Talk = Callable[[], AbstractAsyncContextManager[tuple[HttpServer, Brain]]]


@asynccontextmanager
async def claude() -> AsyncIterator[tuple[HttpServer, Brain]]:
    async with AnthropicServer(SCRIPT, api_key=KEY) as server:
        yield server, ClaudeBrain(KEY, "claude-test", base_url=server.url)


@asynccontextmanager
async def openai() -> AsyncIterator[tuple[HttpServer, Brain]]:
    async with OpenAIServer(SCRIPT, api_key=KEY) as server:
        yield server, OpenAIBrain.official(KEY, "test-model", base_url=server.url)


@pytest.mark.parametrize("talk", [claude, openai])
async def test_calls_and_results_are_told_as_the_provider_wants_them(talk: Talk) -> None:
    async with talk() as (server, brain):
        bench = Bench(Deed("clock", lambda _: "19:05"))
        bench.router = Router(brain, "a test chose it")
        answer = bench.answer()
        text = "".join([event.text async for event in answer if isinstance(event, Text)])
        await brain.aclose()
    assert text == "Let me look. It is late."
    assert bench.outcomes == ["done", "unknown"]
    assert answer.usage is not None
    assert answer.usage.input_tokens > 0
    assert len(server.requests) == 2
