"""A server that speaks Anthropic's Messages API over a real socket.

    async with AnthropicServer(Reply(["Hi", " there"])) as server:
        brain = ClaudeBrain("key", "claude-test", base_url=server.url)
        ...
        assert server.messages[0]["system"][0]["text"] == "Be kind."
        await server.gone()        # a client left before its answer was complete

`script` is what it says: one answer for all requests, a sequence, or a function of the request
(see `tests.fakes.scripts`; `Reply`, `Failure`, `Silence` and `Call` can be imported from here). As
the real one it pings in the stream, refuses a wrong key when `api_key` is given, a model that is
not one of `models` when those are given, and messages that are not in order. The `error_type` of a
reply with trouble `error` is the type of the error event, `overloaded_error` by default.

As a process of its own, for benchmarks: `python -m tests.fakes.anthropic_server --port 9001
--tokens 20 --pace 0.05 --think 0.05`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.fakes.command import run
from tests.fakes.http_server import Exchange, HttpServer, Request
from tests.fakes.scripts import (
    Answer,
    Call,
    Failure,
    Player,
    Reply,
    Script,
    Silence,
    Writer,
    parts,
)

__all__ = [
    "Answer",
    "AnthropicServer",
    "Call",
    "Failure",
    "Reply",
    "Request",
    "Script",
    "Silence",
    "context_too_long",
    "rate_limited",
]

_TYPES = {
    400: ("invalid_request_error", "messages: Field required"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key may not use this resource."),
    404: ("not_found_error", "model: unknown"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    529: ("overloaded_error", "Overloaded"),
}
_OTHER = ("api_error", "Internal server error")
_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "request-id": "req_test",
}


def rate_limited(retry_after: str = "1") -> Failure:
    """A 429 that asks to be left alone for `retry_after` (seconds or an HTTP date)."""
    return Failure(429, headers={"retry-after": retry_after})


def context_too_long() -> Failure:
    """The 400 of a request that does not fit into the model's window."""
    return Failure(400, "prompt is too long: 210000 tokens > 200000 maximum")


class AnthropicServer(HttpServer):
    """The Messages API, streamed or not. Used by `async with`."""

    def __init__(
        self, script: Script = Reply(), *, api_key: str = "", models: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._player = Player(script)
        self._api_key = api_key
        self._models = models

    @property
    def url(self) -> str:
        """The base URL, as clients of Anthropic want it."""
        return self.origin

    @property
    def messages(self) -> list[Any]:
        """The bodies of the requests for messages, decoded."""
        return [r.json for r in self.requests if r.path == "/v1/messages"]

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        refusal = self._refusal(request)
        if refusal is not None:
            _fail(exchange, refusal)
            return
        match answer := self._player.next(request):
            case Silence():
                await asyncio.Event().wait()
            case Failure():
                _fail(exchange, answer)
            case Reply() if request.json.get("stream"):
                exchange.begin(_STREAM_HEADERS)
                await _Stream(exchange, answer).run()
            case Reply():
                await asyncio.sleep(answer.think + answer.pace * len(answer.tokens))
                body = msgspec.json.encode(_message(request.json, answer))
                exchange.respond(200, body, {}, content_type="application/json")

    def _refusal(self, request: Request) -> Failure | None:
        """Why the request is not accepted, as Anthropic would say it."""
        if (request.method, request.path) != ("POST", "/v1/messages"):
            return Failure(404, "Not found")
        if "anthropic-version" not in request.headers:
            return Failure(400, "anthropic-version: header is required")
        if self._api_key and _key(request) != self._api_key:
            return Failure(401)
        body = request.json
        if self._models and body.get("model") not in self._models:
            return Failure(404, f"model: {body.get('model')}")
        if not isinstance(body.get("max_tokens"), int):
            return Failure(400, "max_tokens: Field required")
        return _bad_messages(body.get("messages"))


class _Stream:
    """One streamed message."""

    def __init__(self, exchange: Exchange, reply: Reply) -> None:
        self._exchange = exchange
        self._writer = Writer(exchange, reply.write_size)
        self._reply = reply
        self._block = 0

    async def run(self) -> None:
        reply = self._reply
        await asyncio.sleep(reply.think)
        if reply.breaks_after == 0:
            return await self._trouble()
        start = _message(self._exchange.request.json, Reply(()))
        start |= {"content": [], "stop_reason": None, "usage": _usage(reply, output=1)}
        await self._send("message_start", message=start)
        if reply.tokens and not await self._text():
            return None
        for call in reply.calls:
            await self._call(call)
        await self._finish()

    async def _text(self) -> bool:
        """Whether all of the text could be said."""
        reply = self._reply
        await self._open({"type": "text", "text": ""})
        await self._send("ping")
        for number, token in enumerate(reply.tokens, start=1):
            if number > 1 and reply.pace:
                await asyncio.sleep(reply.pace)
            await self._delta({"type": "text_delta", "text": token})
            if number == reply.breaks_after:
                await self._trouble()
                return False
        await self._close()
        return True

    async def _call(self, call: Call) -> None:
        await self._open({"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        await self._delta({"type": "input_json_delta", "partial_json": ""})
        if call.arguments != "{}":
            for piece in parts(call.arguments, call.pieces):
                await self._delta({"type": "input_json_delta", "partial_json": piece})
        await self._close()

    async def _finish(self) -> None:
        reply = self._reply
        delta = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
        await self._send("message_delta", delta=delta, usage={"output_tokens": len(reply.tokens)})
        await self._send("message_stop")
        self._exchange.end()

    async def _trouble(self) -> None:
        match self._reply.trouble:
            case "stall":
                await asyncio.Event().wait()
            case "reset":
                self._exchange.reset()
            case "half_close":
                self._exchange.half_close()
            case "end":
                self._exchange.end()
            case "garbage":
                garbage = b'event: content_block_delta\ndata: {"type": "content\n\n<<<\xff\xfe\n\n'
                await self._writer.write(garbage)
                self._exchange.end()
            case "error":
                kind = self._reply.error_type or "overloaded_error"
                await self._send("error", error={"type": kind, "message": "Overloaded"})
                self._exchange.end()

    async def _open(self, block: dict[str, Any]) -> None:
        await self._send("content_block_start", index=self._block, content_block=block)

    async def _delta(self, delta: dict[str, Any]) -> None:
        await self._send("content_block_delta", index=self._block, delta=delta)

    async def _close(self) -> None:
        await self._send("content_block_stop", index=self._block)
        self._block += 1

    async def _send(self, kind: str, **fields: Any) -> None:
        data = msgspec.json.encode({"type": kind, **fields})
        await self._writer.write(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))


def _key(request: Request) -> str:
    """The key: today's SDK sends it as a bearer token, plain HTTP examples as `x-api-key`."""
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return request.headers.get("x-api-key", bearer)


def _message(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": "".join(reply.tokens)}]
    for call in reply.calls:
        arguments = msgspec.json.decode(call.arguments)
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    return {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": _stop_reason(reply),
        "stop_sequence": None,
        "usage": _usage(reply, output=len(reply.tokens)),
    }


def _stop_reason(reply: Reply) -> str:
    return reply.finish or ("tool_use" if reply.calls else "end_turn")


def _usage(reply: Reply, output: int) -> dict[str, Any]:
    return {
        "input_tokens": reply.input_tokens - reply.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached_tokens,
        "output_tokens": output,
        "service_tier": "standard",
    }


def _bad_messages(messages: Any) -> Failure | None:
    if not isinstance(messages, list) or not messages:
        return Failure(400, "messages: at least one message is required")
    expected = "user"
    calls: set[str] = set()
    for number, message in enumerate(messages):
        if message["role"] != expected:
            return Failure(400, f"messages.{number}: expected role {expected}")
        expected = "assistant" if expected == "user" else "user"
        blocks = _blocks(message["content"])
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            return Failure(400, "messages: text content blocks must be non-empty")
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != calls:
            return Failure(400, f"messages.{number}: `tool_use` ids and `tool_result`s differ")
        calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
    return None


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _fail(exchange: Exchange, failure: Failure) -> None:
    kind, message = _TYPES.get(failure.status, _OTHER)
    error = {"type": failure.code or kind, "message": failure.message or message}
    body = failure.body or msgspec.json.encode(
        {"type": "error", "error": error, "request_id": "req_test"}
    )
    exchange.respond(failure.status, body, failure.headers, content_type=failure.content_type)


if __name__ == "__main__":
    run(AnthropicServer, "A fake Anthropic server.")
