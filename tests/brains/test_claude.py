"""Claude through the official SDK, against a server that speaks the Messages API."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from tests.fakes.anthropic_server import (
    AnthropicServer,
    Call,
    Failure,
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
from understudy.brains.claude import ClaudeBrain, StablePrompts, make_claude
from understudy.config import BrainSettings

KEY = "sk-ant-test-0123456789abcdef"
CACHED = {"cache_control": {"type": "ephemeral"}}


@asynccontextmanager
async def talking(
    script: Any, model: str = "claude-test", **options: Any
) -> AsyncIterator[tuple[AnthropicServer, ClaudeBrain]]:
    """A server with a script, and a brain that asks it."""
    async with AnthropicServer(script, api_key=KEY) as server:
        brain = ClaudeBrain(KEY, model, base_url=server.url, **options)
        try:
            yield server, brain
        finally:
            await brain.aclose()


def say(text: str = "Hello", **fields: Any) -> BrainRequest:
    fields.setdefault("messages", [BrainMessage("user", text)])
    return BrainRequest(**fields)


async def hear(brain: ClaudeBrain, request: BrainRequest | None = None) -> list[BrainEvent]:
    return [event async for event in brain.stream(request or say())]


async def fail(brain: ClaudeBrain) -> tuple[list[BrainEvent], BrainError]:
    """What came before the failure, and the failure."""
    events: list[BrainEvent] = []
    try:
        async for event in brain.stream(say()):
            events.append(event)
    except BrainError as error:
        return events, error
    pytest.fail(f"no failure after {events}")


async def test_a_reply_comes_token_by_token_with_usage_and_finish() -> None:
    async with talking(Reply(["Hi", " ☕"], input_tokens=40, cached_tokens=32)) as (_, brain):
        assert await hear(brain) == [
            Text("Hi"),
            Text(" ☕"),
            Usage(input_tokens=40, output_tokens=2, cached_tokens=32),
            Finish("stop"),
        ]


async def test_each_token_comes_before_the_next_is_made() -> None:
    reply = Reply(["Hi", " there"], breaks_after=1, trouble="stall")
    async with talking(reply) as (_, brain), aclosing(brain.stream(say())) as events:
        assert await anext(events) == Text("Hi")


async def test_tool_calls_split_over_events_come_whole() -> None:
    calls = [Call("roll", '{"note": "für dich"}', id="toolu_a"), Call("clock", id="toolu_b")]
    async with talking(Reply(["Wait."], calls=calls, write_size=5)) as (_, brain):
        assert await hear(brain) == [
            Text("Wait."),
            ToolCall("toolu_a", "roll", '{"note": "für dich"}'),
            ToolCall("toolu_b", "clock", "{}"),
            Usage(input_tokens=12, output_tokens=1),
            Finish("tool_calls"),
        ]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("stop_sequence", "stop"),
        ("something_new", "stop"),
    ],
)
async def test_the_finish_says_why_it_ended(word: str, reason: Any) -> None:
    async with talking(Reply(finish=word)) as (_, brain):
        assert (await hear(brain))[-1] == Finish(reason)


async def test_the_request_says_what_was_asked_and_no_more() -> None:
    async with talking(Reply()) as (server, brain):
        await hear(brain, say("Hello", system_prompt="Be kind.", max_tokens=77))
    assert server.messages == [
        {
            "model": "claude-test",
            "max_tokens": 77,
            "system": [{"type": "text", "text": "Be kind.", **CACHED}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "stream": True,
        }
    ]


async def test_the_cache_mark_stands_before_what_changes() -> None:
    async with talking(Reply()) as (server, brain):
        for minute in range(3):
            prompt = f"You are Kit.\n\nBe kind.\n\nIt is 12:0{minute}.\n\nNobody is here."
            await hear(brain, say(system_prompt=prompt))
    first, *later = [body["system"] for body in server.messages]
    assert len(first) == 1
    assert later[1] == [
        {"type": "text", "text": "You are Kit.\n\nBe kind.", **CACHED},
        {"type": "text", "text": "It is 12:02.\n\nNobody is here."},
    ]


async def test_messages_are_put_in_the_order_the_api_wants() -> None:
    call = ToolCall("toolu_a", "roll", '{"sides": 6}')
    broken = ToolCall("toolu_b", "roll", "{broken")
    messages = [
        BrainMessage("assistant", "Welcome!"),
        BrainMessage("user", "Hi"),
        BrainMessage("user", "  "),
        BrainMessage("user", "Roll!"),
        BrainMessage("system", "The stream is loud."),
        BrainMessage("assistant", "Here:", tool_calls=(call, broken)),
        BrainMessage("tool", "17", tool_call_id="toolu_a"),
        BrainMessage("tool", "", tool_call_id="toolu_b"),
        BrainMessage("user", "And?"),
    ]
    async with talking(Reply()) as (server, brain):
        await hear(brain, say(messages=messages))
    (body,) = server.messages
    assert body["system"] == [{"type": "text", "text": "The stream is loud."}]
    assert [message["role"] for message in body["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert [block["text"] for block in body["messages"][2]["content"]] == ["Hi", "Roll!"]
    _, good, bad = body["messages"][3]["content"]
    assert (good["input"], bad["input"]) == ({"sides": 6}, {})
    assert body["messages"][4]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_a", "content": "17"},
        {"type": "tool_result", "tool_use_id": "toolu_b"},
        {"type": "text", "text": "And?"},
    ]


async def test_sampling_and_tools_are_sent_when_they_are_set() -> None:
    tool = ToolSpec("roll", "Rolls a die.", {"type": "object", "properties": {}})
    async with talking(Reply(), "claude-haiku-4-5") as (server, brain):
        await hear(brain, say(tools=[tool], temperature=0.5, top_p=0.9, stop=["END"]))
        await hear(brain, say(top_p=0.9))
    first, second = server.messages
    assert first["tools"] == [
        {"name": "roll", "description": "Rolls a die.", "input_schema": tool.parameters}
    ]
    assert first["stop_sequences"] == ["END"]
    assert (first["temperature"], first.get("top_p")) == (0.5, None), "only one is accepted"
    assert second["top_p"] == 0.9


async def test_a_model_that_thinks_is_told_to_answer_at_once() -> None:
    async with talking(Reply(), "claude-haiku-5-5") as (server, brain):
        await hear(brain, say(temperature=0.5))
    (body,) = server.messages
    assert body["thinking"] == {"type": "disabled"}
    assert "temperature" not in body


async def test_a_model_that_always_thinks_gets_room_for_it() -> None:
    async with talking(Reply(), "claude-opus-5-5") as (server, brain):
        await hear(brain, say(max_tokens=400))
    (body,) = server.messages
    assert body["max_tokens"] > 1_000
    assert body["output_config"] == {"effort": "low"}


async def test_a_connection_is_used_again() -> None:
    async with talking(Reply()) as (server, brain):
        for _ in range(3):
            await hear(brain)
        assert (server.connections, server.departures) == (1, 0)


async def test_closing_the_stream_closes_the_connection() -> None:
    reply = Reply(["Hi", " there"], breaks_after=1, trouble="stall")
    async with talking(reply) as (server, brain):
        events = brain.stream(say())
        assert await anext(events) == Text("Hi")
        await events.aclose()
        await server.gone()
        assert server.open_connections == 0


@pytest.mark.parametrize("answer", [Silence(), Reply(breaks_after=0, trouble="stall")])
async def test_cancelling_before_the_first_token_closes_the_connection(answer: Any) -> None:
    async with talking(answer) as (server, brain):
        task = asyncio.create_task(hear(brain))
        await server.asked()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await server.gone()


async def test_fifty_streams_at_once_do_not_mix() -> None:
    def echo(request: Any) -> Reply:
        word = request.json["messages"][-1]["content"][0]["text"]
        return Reply([f"{word}-{number} " for number in range(10)], pace=0.001)

    async with talking(echo) as (_, brain):
        replies = await asyncio.gather(
            *(brain.chat([{"role": "user", "content": f"viewer{n}"}]) for n in range(50))
        )
    for number, reply in enumerate(replies):
        assert reply == "".join(f"viewer{number}-{k} " for k in range(10))


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (Failure(400, "stop: too many"), "refused", "(stop: too many): check brain.model"),
        (Failure(400, "Your credit balance is too low."), "unauthorized", "no credit left"),
        (Failure(401), "unauthorized", "does not accept the key: check brain.anthropic_api_key"),
        (Failure(403), "unauthorized", "does not let this key use claude-test"),
        (Failure(404), "unknown_model", "Claude has no model 'claude-test': check brain.model"),
        (context_too_long(), "context_too_long", "too long for claude-test"),
        (Failure(413), "context_too_long", "too long for claude-test"),
        (rate_limited("30"), "overloaded", "too busy: try again in 30 s"),
        (Failure(529), "overloaded", "too busy: try again in a moment"),
        (Failure(500), "unavailable", "has a fault (status 500)"),
        (Failure(502, body=b"<html>", content_type="text/html"), "unavailable", "status 502"),
        (Failure(200), "broken", "something else than an answer"),
        (Failure(200, body=b"<html>", content_type="text/html"), "broken", "something else"),
    ],
)
async def test_an_answer_that_is_no_reply_is_explained(
    answer: Failure, kind: ErrorKind, sentence: str
) -> None:
    async with talking(answer) as (server, brain):
        events, error = await fail(brain)
        assert (events, error.kind) == ([], kind)
        assert sentence in str(error)
        assert len(server.requests) == 1, "asking again is the router's business"


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [
        ("overloaded_error", "overloaded"),
        ("rate_limit_error", "overloaded"),
        ("authentication_error", "unauthorized"),
        ("not_found_error", "unknown_model"),
        ("api_error", "broken"),
    ],
)
async def test_an_error_in_the_stream_is_explained(error_type: str, kind: ErrorKind) -> None:
    reply = Reply(["a", "b"], breaks_after=1, trouble="error", error_type=error_type)
    async with talking(reply) as (_, brain):
        events, error = await fail(brain)
    assert events == [Text("a")]
    assert error.kind == kind


@pytest.mark.parametrize("trouble", ["reset", "half_close", "end", "garbage"])
async def test_a_stream_that_breaks_is_broken(trouble: Any) -> None:
    async with talking(Reply(["a", "b", "c"], breaks_after=2, trouble=trouble)) as (_, brain):
        events, error = await fail(brain)
    # A reset may overtake the tokens before it.
    assert events == [Text("a"), Text("b")] or trouble == "reset"
    assert (error.kind, error.retryable) == ("broken", True)


@pytest.mark.parametrize("after", [0, 2])
async def test_silence_is_a_timeout(after: int) -> None:
    reply = Reply(["a", "b", "c"], breaks_after=after, trouble="stall")
    async with talking(reply, silence_seconds=0.1) as (server, brain):
        events, error = await fail(brain)
        assert len(events) == after
        assert error.kind == "timeout"
        await server.gone()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AnthropicServer() as server:
        pass
    brain = ClaudeBrain(KEY, base_url=server.url)
    _, error = await fail(brain)
    await brain.aclose()
    assert error.kind == "unavailable"
    assert f"cannot be reached at {server.url}" in str(error)


async def test_no_key_in_errors_logs_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = [Failure(401, f"invalid {KEY}"), Failure(400, f"key={KEY}"), Failure(500), Silence()]
    async with talking(script, silence_seconds=0.1) as (_, brain):
        for _ in script:
            error = (await fail(brain))[1]
            assert KEY[8:] not in "".join(traceback.format_exception(error)) + repr(error)
    assert KEY[8:] not in caplog.text


def test_a_prompt_that_begins_differently_is_taken_as_new() -> None:
    prompts = StablePrompts()
    assert prompts.split("a", "One.\n\nTwo.") == ("One.\n\nTwo.", "")
    assert prompts.split("b", "Other.") == ("Other.", "")
    assert prompts.split("a", "One.\n\nThree.") == ("One.", "Three.")
    assert prompts.split("a", "New.\n\nTwo.") == ("New.\n\nTwo.", "")


def test_a_prompt_stays_known_only_while_there_is_room() -> None:
    prompts = StablePrompts()
    prompts.split("a", "One.\n\nTwo.")
    for number in range(2_000):
        prompts.split(f"key{number}", "One.")
    assert prompts.split("a", "One.\n\nThree.") == ("One.\n\nThree.", "")


async def test_the_settings_make_the_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AnthropicServer(api_key=KEY) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        settings = BrainSettings(provider="claude", model="claude-x", api_key=KEY)
        brain = make_claude(settings, None)
        assert (brain.name, brain.model) == ("claude", "claude-x")
        assert brain.describe() == "claude-x of Anthropic."
        assert [event async for event in brain.stream(say())][-1] == Finish("stop")
        await brain.aclose()
    brain = make_claude(BrainSettings(anthropic_api_key=KEY), None)
    assert brain.model == "claude-haiku-5-5"
    await brain.aclose()


async def test_settings_of_another_provider_do_not_count() -> None:
    settings = BrainSettings(
        provider="openai", model="gpt-x", api_key="sk-other", anthropic_api_key=KEY
    )
    brain = make_claude(settings, None)
    assert brain.model == "claude-haiku-5-5"
    await brain.aclose()


def test_without_a_key_it_says_what_to_set() -> None:
    with pytest.raises(BrainError, match="set ANTHROPIC_API_KEY") as caught:
        make_claude(BrainSettings(provider="openai", api_key="sk-other"), None)
    assert caught.value.kind == "unauthorized"


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "anthropic", None)
    with pytest.raises(BrainError, match=r"pip install 'understudy\[claude\]'"):
        make_claude(BrainSettings(provider="claude", api_key=KEY), None)
