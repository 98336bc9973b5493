"""The official clients, with all of their own decoding, understand the fakes."""

import asyncio
import sys

import anthropic
import openai
import pytest

from tests.fakes import anthropic_server, openai_server
from tests.fakes.scripts import Call, Reply
from understudy.brains.claude import ClaudeBrain
from understudy.brains.openai import OpenAIBrain

REPLY = Reply(["Hi", " ☕"], calls=[Call("roll", '{"sides": 20}')], cached_tokens=5)


async def test_openais_client_reads_a_stream() -> None:
    async with (
        openai_server.OpenAIServer(REPLY, models=["m"]) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="k") as client,
    ):
        async with client.chat.completions.stream(
            model="m",
            messages=[{"role": "user", "content": "Hi"}],
            stream_options={"include_usage": True},
        ) as stream:
            completion = await stream.get_final_completion()
        (choice,) = completion.choices
        assert choice.message.content == "Hi ☕"
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        assert choice.message.tool_calls[0].function.arguments == '{"sides": 20}'
        assert completion.usage is not None
        assert completion.usage.total_tokens == 14
        assert [model.id async for model in client.models.list()] == ["m"]


async def test_openais_client_reads_a_whole_reply_and_errors() -> None:
    script = [REPLY, openai_server.rate_limited("2"), openai_server.context_too_long()]
    async with (
        openai_server.OpenAIServer(script) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as client,
    ):
        completion = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}]
        )
        assert completion.choices[0].message.content == "Hi ☕"
        for kind in (openai.RateLimitError, openai.BadRequestError):
            with pytest.raises(kind):
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "Hi"}]
                )
        with pytest.raises(openai.BadRequestError, match="expected an array"):
            await client.chat.completions.create(model="m", messages=[])


async def test_anthropics_client_reads_a_stream() -> None:
    async with (
        anthropic_server.AnthropicServer(REPLY) as server,
        anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        ) as stream,
    ):
        assert [text async for text in stream.text_stream] == ["Hi", " ☕"]
        message = await stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert message.content[1].type == "tool_use"
    assert message.content[1].input == {"sides": 20}
    assert (message.usage.cache_read_input_tokens, message.usage.output_tokens) == (5, 2)


async def test_anthropics_client_reads_a_whole_reply_and_errors() -> None:
    script = [REPLY, anthropic_server.rate_limited("2"), anthropic_server.context_too_long()]
    async with (
        anthropic_server.AnthropicServer(script) as server,
        anthropic.AsyncAnthropic(base_url=server.url, api_key="k", max_retries=0) as client,
    ):
        ask = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
        message = await client.messages.create(**ask)
        assert message.content[0].type == "text"
        for kind in (anthropic.RateLimitError, anthropic.BadRequestError):
            with pytest.raises(kind):
                await client.messages.create(**ask)
        ask["messages"] = [{"role": "assistant", "content": "Hi"}]
        with pytest.raises(anthropic.BadRequestError, match="expected role user"):
            await client.messages.create(**ask)


@pytest.mark.parametrize("module", ["openai_server", "anthropic_server"])
async def test_a_fake_serves_as_a_process_of_its_own(module: str) -> None:
    command = [sys.executable, "-m", f"tests.fakes.{module}", "--tokens", "2", "--pace", "0.001"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    brain = (
        OpenAIBrain.compatible(url, "m")
        if module == "openai_server"
        else ClaudeBrain("k", "m", base_url=url)
    )
    assert await brain.chat([{"role": "user", "content": "Hi"}]) == " word0 word1"
    await brain.aclose()
    process.terminate()
    await process.communicate()
