"""What servers do on a connection that is not about chat completions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from understudy.brains.base import BrainError, BrainMessage, BrainRequest, Finish, Text
from understudy.brains.openai import OpenAIBrain

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = BrainRequest(messages=[BrainMessage("user", "Hello")])
STREAM = (
    b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


@asynccontextmanager
async def brain_of(handler: Handler) -> AsyncIterator[OpenAIBrain]:
    """A brain whose server is `handler`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await handler(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    brain = OpenAIBrain.compatible(f"http://127.0.0.1:{port}", "m")
    try:
        yield brain
    finally:
        await brain.aclose()
        server.close()
        await server.wait_closed()


async def test_a_body_that_stays_open_after_the_end_is_left() -> None:
    left = asyncio.Event()

    async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + STREAM)
        await reader.read()
        left.set()

    async with brain_of(stay) as brain:
        assert [event async for event in brain.stream(REQUEST)] == [Text("Hi"), Finish()]
        await left.wait()


async def test_a_stream_need_not_name_its_type_or_length() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + STREAM)

    async with brain_of(old) as brain:
        assert [event async for event in brain.stream(REQUEST)] == [Text("Hi"), Finish()]


async def test_a_redirect_is_not_followed() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\n")
        writer.write(b"content-length: 0\r\n\r\n")

    async with brain_of(redirect) as brain:
        with pytest.raises(BrainError, match="status 307") as caught:
            await anext(brain.stream(REQUEST))
    assert caught.value.kind == "refused"


async def test_an_error_page_without_an_end_is_read_in_part() -> None:
    left = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 100_000)
        await reader.read()
        left.set()

    async with brain_of(flood) as brain:
        with pytest.raises(BrainError, match="status 500"):
            await anext(brain.stream(REQUEST))
        await left.wait()


async def test_a_brain_that_was_never_asked_can_be_closed() -> None:
    await OpenAIBrain.compatible("http://127.0.0.1:1", "m").aclose()
