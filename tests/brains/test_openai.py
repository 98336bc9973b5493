"""Chat completions against a server that speaks them over a real socket.

Most tests run twice: through the official SDK, and through aiohttp as for a compatible server.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from email.utils import formatdate
from time import time
from typing import Any

import pytest

from tests.fakes.http_server import Request
from tests.fakes.openai_server import (
    Call,
    Failure,
    OpenAIServer,
    Reply,
    Silence,
    context_too_long,
    rate_limited,
)
from understudy.brains.base import (
    BrainError,
    BrainEvent,
    BrainMessage,
    BrainRequest,
    ErrorKind,
    Finish,
    Text,
    ToolCall,
    ToolSpec,
    Usage,
)
from understudy.brains.openai import OpenAIBrain, is_openai, list_models, make_openai
from understudy.config import BrainSettings

KEY = "sk-test-0123456789abcdef"
MakeBrain = Callable[..., OpenAIBrain]


def through_sdk(url: str, model: str = "test-model", **options: Any) -> OpenAIBrain:
    return OpenAIBrain.official(KEY, model, base_url=url, **options)


def through_aiohttp(url: str, model: str = "test-model", **options: Any) -> OpenAIBrain:
    return OpenAIBrain.compatible(url, model, api_key=KEY, **options)


@pytest.fixture(params=[through_sdk, through_aiohttp], ids=["sdk", "aiohttp"])
def make_brain(request: pytest.FixtureRequest) -> MakeBrain:
    return request.param


@asynccontextmanager
async def talking(
    make_brain: MakeBrain, script: Any, **options: Any
) -> AsyncIterator[tuple[OpenAIServer, OpenAIBrain]]:
    """A server with a script, and a brain that asks it."""
    async with OpenAIServer(script, api_key=KEY) as server:
        brain = make_brain(server.url, **options)
        try:
            yield server, brain
        finally:
            await brain.aclose()


def say(text: str = "Hello", **fields: Any) -> BrainRequest:
    fields.setdefault("messages", [BrainMessage("user", text)])
    return BrainRequest(**fields)


async def hear(brain: OpenAIBrain, request: BrainRequest | None = None) -> list[BrainEvent]:
    return [event async for event in brain.stream(request or say())]


async def fail(brain: OpenAIBrain) -> tuple[list[BrainEvent], BrainError]:
    """What came before the failure, and the failure."""
    events: list[BrainEvent] = []
    try:
        async for event in brain.stream(say()):
            events.append(event)
    except BrainError as error:
        return events, error
    pytest.fail(f"no failure after {events}")


async def test_a_reply_comes_token_by_token_with_usage_and_finish(make_brain: MakeBrain) -> None:
    reply = Reply(["Hi", " there", " ☕"], input_tokens=40, cached_tokens=32)
    async with talking(make_brain, reply) as (_, brain):
        assert await hear(brain) == [
            Text("Hi"),
            Text(" there"),
            Text(" ☕"),
            Usage(input_tokens=40, output_tokens=3, cached_tokens=32),
            Finish("stop"),
        ]


async def test_each_token_comes_before_the_next_is_made(make_brain: MakeBrain) -> None:
    reply = Reply(["Hi", " there"], breaks_after=1, trouble="stall")
    async with (
        talking(make_brain, reply) as (_, brain),
        aclosing(brain.stream(say())) as events,
    ):
        assert await anext(events) == Text("Hi")


async def test_tool_calls_split_over_chunks_come_whole(make_brain: MakeBrain) -> None:
    calls = [
        Call("roll", '{"sides": 20, "note": "für dich"}', id="call_a", pieces=7),
        Call("clock", id="call_b"),
    ]
    async with talking(make_brain, Reply(["Let me see."], calls=calls, write_size=5)) as (_, brain):
        assert await hear(brain) == [
            Text("Let me see."),
            ToolCall("call_a", "roll", '{"sides": 20, "note": "für dich"}'),
            ToolCall("call_b", "clock", "{}"),
            Usage(input_tokens=12, output_tokens=1),
            Finish("tool_calls"),
        ]


@pytest.mark.parametrize(
    "refusal",
    [
        Failure(400, "registry.ollama.ai/library/gemma does not support tools"),
        Failure(500, "tools param requires --jinja flag"),
    ],
    ids=["ollama", "llama.cpp"],
)
async def test_a_model_that_takes_no_tools_is_asked_without(refusal: Failure) -> None:
    def script(request: Request) -> Reply | Failure:
        return refusal if "tools" in request.json else Reply(["Hi"])

    asked = say(tools=[ToolSpec("clock", "The time.", {"type": "object"})])
    async with talking(through_aiohttp, script) as (server, brain):
        for _ in range(2):
            assert (await hear(brain, asked))[0] == Text("Hi")
        # Refused once, then known.
        assert ["tools" in chat for chat in server.chats] == [True, False, False]


async def test_a_fault_that_is_not_about_tools_is_told(make_brain: MakeBrain) -> None:
    asked = say(tools=[ToolSpec("clock", "The time.", {"type": "object"})])
    async with talking(make_brain, Failure(503)) as (server, brain):
        with pytest.raises(BrainError, match="fault"):
            await hear(brain, asked)
        assert len(server.chats) == 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", "length"),
        ("content_filter", "refusal"),
        ("function_call", "tool_calls"),
        ("something_new", "stop"),
    ],
)
async def test_the_finish_says_why_it_ended(word: str, reason: Any) -> None:
    async with talking(through_aiohttp, Reply(finish=word)) as (_, brain):
        assert (await hear(brain))[-1] == Finish(reason)


async def test_the_request_says_what_was_asked_and_no_more(make_brain: MakeBrain) -> None:
    async with talking(make_brain, Reply()) as (server, brain):
        await hear(brain, say("Hello", system_prompt="Be kind.", max_tokens=77))
    (body,) = server.chats
    limit = "max_completion_tokens" if make_brain is through_sdk else "max_tokens"
    assert body == {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        limit: 77,
    }


async def test_sampling_tools_and_their_answers_are_sent_when_they_are_set(
    make_brain: MakeBrain,
) -> None:
    tool = ToolSpec("roll", "Rolls a die.", {"type": "object", "properties": {}})
    call = ToolCall("call_a", "roll", "{}")
    messages = [
        BrainMessage("user", "Roll!"),
        BrainMessage("assistant", "", tool_calls=(call,)),
        BrainMessage("tool", "17", tool_call_id="call_a"),
    ]
    request = say(messages=messages, tools=[tool], temperature=0.5, top_p=0.9, stop=["\n"])
    async with talking(make_brain, Reply()) as (server, brain):
        await hear(brain, request)
    (body,) = server.chats
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.5, 0.9, ["\n"])
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "roll", "arguments": "{}"}
    assert body["messages"][2] == {"role": "tool", "content": "17", "tool_call_id": "call_a"}
    assert body["tools"][0]["function"]["parameters"] == tool.parameters


async def test_openai_itself_is_asked_in_its_own_words() -> None:
    async with OpenAIServer(strict=True, api_key=KEY) as server:
        brain = through_sdk(server.url, "gpt-6-luna")
        assert (await hear(brain))[-1] == Finish("stop")
        await brain.aclose()
    assert server.chats[0]["reasoning_effort"] == "none"


async def test_a_connection_is_used_again(make_brain: MakeBrain) -> None:
    async with talking(make_brain, Reply()) as (server, brain):
        for _ in range(3):
            await hear(brain)
        assert (server.connections, server.departures) == (1, 0)


async def test_closing_the_stream_closes_the_connection(make_brain: MakeBrain) -> None:
    reply = Reply(["Hi", " there"], breaks_after=1, trouble="stall")
    async with talking(make_brain, reply) as (server, brain):
        events = brain.stream(say())
        assert await anext(events) == Text("Hi")
        await events.aclose()
        await server.gone()
        assert server.open_connections == 0


@pytest.mark.parametrize("answer", [Silence(), Reply(breaks_after=0, trouble="stall")])
async def test_cancelling_before_the_first_token_closes_the_connection(
    make_brain: MakeBrain, answer: Any
) -> None:
    async with talking(make_brain, answer) as (server, brain):
        task = asyncio.create_task(hear(brain))
        await server.asked()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await server.gone()


async def test_fifty_streams_at_once_do_not_mix(make_brain: MakeBrain) -> None:
    def echo(request: Any) -> Reply:
        word = request.json["messages"][-1]["content"]
        return Reply([f"{word}-{number} " for number in range(10)], pace=0.001)

    async with talking(make_brain, echo) as (_, brain):
        replies = await asyncio.gather(
            *(brain.chat([{"role": "user", "content": f"viewer{n}"}]) for n in range(50))
        )
    for number, reply in enumerate(replies):
        assert reply == "".join(f"viewer{number}-{k} " for k in range(10))


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (Failure(400, "Bad 'stop'."), "refused", "Bad 'stop'"),
        (Failure(422), "refused", "does not accept the request"),
        (Failure(401, f"Incorrect key: {KEY}"), "unauthorized", "key: check brain."),
        (Failure(403), "unauthorized", "does not let this key use test-model"),
        (Failure(404), "unknown_model", "has no model 'test-model': check brain.model"),
        (Failure(403, code="model_not_found"), "unknown_model", "has no model"),
        (context_too_long(), "context_too_long", "too long for test-model"),
        (Failure(429, "You have no money.", "insufficient_quota"), "unauthorized", "no credit"),
        (Failure(408), "overloaded", "too busy"),
        (Failure(409), "overloaded", "too busy"),
        (rate_limited(), "overloaded", "too busy: try again in 1 s"),
        (Failure(529), "overloaded", "too busy"),
        (Failure(500), "unavailable", "has a fault (status 500)"),
        (Failure(503, body=b"<html>", content_type="text/html"), "unavailable", "status 503"),
        (Failure(200, "Oops."), "broken", "something else than an answer (Oops)"),
        (Failure(200, body=b"<html>", content_type="text/html"), "broken", "something else"),
        (Failure(200, body=b"not a stream", content_type="text/plain"), "broken", "broke off"),
        (Failure(200, body=b"", content_type="text/event-stream"), "broken", "broke off"),
    ],
)
async def test_an_answer_that_is_no_reply_is_explained(
    make_brain: MakeBrain, answer: Failure, kind: ErrorKind, sentence: str
) -> None:
    async with talking(make_brain, answer) as (server, brain):
        events, error = await fail(brain)
        assert (events, error.kind) == ([], kind)
        assert sentence in str(error)
        assert KEY not in str(error)
        assert len(server.requests) == 1, "asking again is the router's business"


@pytest.mark.parametrize("trouble", ["reset", "half_close", "end", "garbage", "error"])
async def test_a_stream_that_breaks_is_broken(make_brain: MakeBrain, trouble: Any) -> None:
    reply = Reply(["a", "b", "c"], breaks_after=2, trouble=trouble)
    async with talking(make_brain, reply) as (_, brain):
        events, error = await fail(brain)
    # A reset may overtake the tokens before it.
    assert events == [Text("a"), Text("b")] or trouble == "reset"
    assert (error.kind, error.retryable) == ("broken", True)


@pytest.mark.parametrize("after", [0, 2])
async def test_silence_is_a_timeout(make_brain: MakeBrain, after: int) -> None:
    reply = Reply(["a", "b", "c"], breaks_after=after, trouble="stall")
    async with talking(make_brain, reply, silence_seconds=0.1) as (server, brain):
        events, error = await fail(brain)
        assert len(events) == after
        assert error.kind == "timeout"
        assert "said nothing for 0.1 s" in str(error)
        await server.gone()


async def test_no_answer_at_all_is_a_timeout(make_brain: MakeBrain) -> None:
    async with talking(make_brain, Silence(), silence_seconds=0.1) as (_, brain):
        assert (await fail(brain))[1].kind == "timeout"


async def test_a_server_that_is_not_there_is_unavailable(make_brain: MakeBrain) -> None:
    async with OpenAIServer() as server:
        url = server.url
    brain = make_brain(url)
    _, error = await fail(brain)
    await brain.aclose()
    assert error.kind == "unavailable"
    assert f"cannot be reached at {url}" in str(error)


async def test_hanging_up_without_an_answer_is_unavailable(make_brain: MakeBrain) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    brain = make_brain(f"http://127.0.0.1:{port}/v1")
    _, error = await fail(brain)
    await brain.aclose()
    server.close()
    await server.wait_closed()
    assert error.kind == "unavailable"
    assert "without an answer" in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
async def test_the_wait_a_server_asks_for_is_told(
    make_brain: MakeBrain, headers: dict[str, str], seconds: float | None
) -> None:
    async with talking(make_brain, Failure(429, headers=headers)) as (_, brain):
        assert (await fail(brain))[1].retry_after == seconds


async def test_the_wait_may_be_a_date(make_brain: MakeBrain) -> None:
    date = formatdate(time() + 3_600, usegmt=True)
    async with talking(make_brain, rate_limited(date)) as (_, brain):
        wait = (await fail(brain))[1].retry_after
    assert wait == pytest.approx(3_600, abs=60)


async def test_no_key_in_errors_logs_and_tracebacks(
    make_brain: MakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script = [Failure(401), Failure(400, f"key={KEY}, sk-proj-abcdefgh"), Failure(500), Silence()]
    async with talking(make_brain, script, silence_seconds=0.1) as (_, brain):
        for _ in script:
            error = (await fail(brain))[1]
            shown = "".join(traceback.format_exception(error)) + repr(error)
            assert KEY[8:] not in shown
            assert "abcdefgh" not in shown
    assert KEY[8:] not in caplog.text


async def test_the_first_model_is_asked_when_none_is_set() -> None:
    async with OpenAIServer(models=["llama", "qwen"]) as server:
        brain = OpenAIBrain.compatible(server.url)
        await hear(brain)
        await hear(brain)
        await brain.aclose()
        assert [body["model"] for body in server.chats] == ["llama", "llama"]
        assert (brain.model, len(server.requests)) == ("llama", 3)
        assert "llama" in brain.describe()


async def test_a_server_without_models_is_explained() -> None:
    async with OpenAIServer() as server:
        brain = OpenAIBrain.compatible(server.url)
        _, error = await fail(brain)
        await brain.aclose()
    assert error.kind == "unknown_model"
    assert "load one or set brain.model" in str(error)


async def test_the_models_of_a_server_can_be_listed() -> None:
    async with OpenAIServer(models=["llama", "qwen"], api_key=KEY) as server:
        assert await list_models(server.url, api_key=KEY) == ["llama", "qwen"]
        with pytest.raises(BrainError) as caught:
            await list_models(server.url)
        assert caught.value.kind == "unauthorized"


async def test_a_list_of_models_that_is_none_is_explained() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>")
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0)
    with pytest.raises(BrainError) as caught:
        await list_models(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    await server.wait_closed()
    assert caught.value.kind == "broken"


async def test_what_speaks_no_http_is_explained() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    brain = through_aiohttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    _, error = await fail(brain)
    await brain.aclose()
    server.close()
    await server.wait_closed()
    assert error.kind == "broken"
    assert "is brain.base_url right?" in str(error)


async def test_user_and_password_of_a_url_are_used_and_not_shown() -> None:
    async with OpenAIServer(Failure(500)) as server:
        url = server.url.replace("//", "//joe:s3cr%2Ft@")
        brain = OpenAIBrain.compatible(url, "m")
        _, error = await fail(brain)
        await brain.aclose()
    assert server.requests[0].headers["authorization"] == "Basic am9lOnMzY3IvdA=="
    assert "s3cr" not in str(error)
    assert server.url in str(error)


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://host/v1", "http://", "nonsense"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BrainError, match=r"brain\.base_url is no URL"):
        OpenAIBrain.compatible(url)


async def test_a_url_without_a_path_gets_the_usual_one() -> None:
    async with OpenAIServer() as server:
        brain = OpenAIBrain.compatible(f"{server.origin}/", "m")
        await hear(brain)
        await brain.aclose()


@pytest.mark.parametrize(
    ("url", "openai"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://api.openai.com.example/v1", False),
        ("http://127.0.0.1:11434/v1", False),
    ],
)
def test_openai_is_known_by_its_hosts(url: str, openai: bool) -> None:
    assert is_openai(url) == openai


async def test_the_settings_make_the_brain() -> None:
    async with OpenAIServer(api_key=KEY) as server:
        settings = BrainSettings(provider="openai", model="m1", base_url=server.url, api_key=KEY)
        brain = make_openai(settings, None)
        assert (brain.name, brain.model) == ("openai", "m1")
        assert [event async for event in brain.stream(say())][-1] == Finish("stop")
        await brain.aclose()
    brain = make_openai(BrainSettings(openai_api_key=KEY), None)
    assert brain.model == "gpt-6-luna"
    assert brain.describe() == "gpt-6-luna of OpenAI."
    await brain.aclose()


async def test_settings_of_another_provider_do_not_count() -> None:
    settings = BrainSettings(
        provider="claude", model="claude-x", api_key="sk-ant-other", openai_api_key=KEY
    )
    brain = make_openai(settings, None)
    assert brain.model == "gpt-6-luna"
    await brain.aclose()
    with pytest.raises(BrainError, match="set OPENAI_API_KEY"):
        make_openai(BrainSettings(provider="claude", api_key="sk-ant-other"), None)


def test_without_a_key_it_says_what_to_set() -> None:
    with pytest.raises(BrainError, match="set OPENAI_API_KEY") as caught:
        make_openai(BrainSettings(provider="openai"), None)
    assert caught.value.kind == "unauthorized"


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(BrainError, match=r"pip install 'understudy\[openai\]'"):
        make_openai(BrainSettings(provider="openai", api_key=KEY), None)
