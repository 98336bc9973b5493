"""A server that speaks OpenAI's chat completions over a real socket.

    async with OpenAIServer(Reply(["Hi", " there"])) as server:
        brain = make_openai(BrainSettings(base_url=server.url, model="test-model"), None)
        ...
        assert server.requests[0].json["messages"][-1]["content"] == "Hello"
        await server.gone()        # a client left before its answer was complete

`script` is what it says: one answer for all requests, a sequence, or a function of the request
(see `tests.fakes.scripts`; `Reply`, `Failure`, `Silence` and `Call` can be imported from here). As
the real one it refuses a wrong key when `api_key` is given, a model that is not one of `models`
when those are given, and requests it cannot read. `strict=True` is OpenAI itself, which wants
`max_completion_tokens`; otherwise it is one of the many compatible servers. Requests to `/models`
are answered from `models` and take nothing from the script; files and fine-tuning jobs are up to
`tuning` (see `tests.fakes.openai_tuning`).

As a process of its own, for benchmarks: `python -m tests.fakes.openai_server --port 9000
--tokens 20 --pace 0.05 --think 0.05`.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.fakes.command import run
from tests.fakes.http_server import Exchange, HttpServer, Request
from tests.fakes.openai_tuning import Tuning
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
    "Call",
    "Failure",
    "OpenAIServer",
    "Reply",
    "Request",
    "Script",
    "Silence",
    "context_too_long",
    "rate_limited",
]

_TYPES = {
    400: ("invalid_request_error", None, "We could not parse the JSON body of your request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", None, "Your project may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
_OTHER = ("server_error", None, "The server had an error while processing your request.")
_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-request-id": "req_test",
}


def rate_limited(retry_after: str = "1") -> Failure:
    """A 429 that asks to be left alone for `retry_after` (seconds or an HTTP date)."""
    return Failure(429, headers={"retry-after": retry_after})


def context_too_long() -> Failure:
    """The 400 of a request that does not fit into the model's window."""
    message = (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "9001 tokens. Please reduce the length of the messages."
    )
    return Failure(400, message, "context_length_exceeded")


class OpenAIServer(HttpServer):
    """Chat completions, streamed or not, and the list of models. Used by `async with`."""

    def __init__(
        self,
        script: Script = Reply(),
        *,
        api_key: str = "",
        models: Sequence[str] = (),
        strict: bool = False,
        tuning: Tuning | None = None,
    ) -> None:
        super().__init__()
        self._player = Player(script)
        self._api_key = api_key
        self._models = list(models)
        self._strict = strict
        self.tuning = tuning or Tuning()
        self.tuning.models = self._models

    @property
    def url(self) -> str:
        """The base URL, as clients of OpenAI want it."""
        return f"{self.origin}/v1"

    @property
    def chats(self) -> list[Any]:
        """The bodies of the requests for completions, decoded."""
        return [r.json for r in self.requests if r.path == "/v1/chat/completions"]

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        if self._api_key and request.headers.get("authorization") != f"Bearer {self._api_key}":
            _fail(exchange, Failure(401, _wrong_key(request)))
        elif request.path == "/v1/models":
            _list_models(exchange, self._models)
        elif self.tuning.wants(request):
            self.tuning.answer(exchange)
        elif (request.method, request.path) != ("POST", "/v1/chat/completions"):
            _fail(exchange, Failure(404, f"Invalid URL ({request.method} {request.path})", "none"))
        elif (refusal := self._refusal(request)) is not None:
            _fail(exchange, refusal)
        else:
            await self._play(exchange, self._player.next(request))

    async def _play(self, exchange: Exchange, answer: Answer) -> None:
        match answer:
            case Silence():
                await asyncio.Event().wait()
            case Failure():
                _fail(exchange, answer)
            case Reply() if exchange.request.json.get("stream"):
                exchange.begin(_STREAM_HEADERS)
                await _Stream(exchange, answer).run()
            case Reply():
                await asyncio.sleep(answer.think + answer.pace * len(answer.tokens))
                body = msgspec.json.encode(_completion(exchange.request.json, answer))
                exchange.respond(200, body, {}, content_type="application/json")

    def _refusal(self, request: Request) -> Failure | None:
        """Why the request is not accepted, as OpenAI would say it."""
        try:
            body = request.json
        except msgspec.DecodeError:
            return Failure(400)
        if not body.get("model"):
            return Failure(400, "you must provide a model parameter")
        if self._models and body["model"] not in self._models:
            return Failure(404, f"The model `{body['model']}` does not exist.")
        if self._strict and "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Failure(400, message, "unsupported_parameter")
        return _bad_messages(body.get("messages"))


class _Stream:
    """One streamed completion."""

    def __init__(self, exchange: Exchange, reply: Reply) -> None:
        body = exchange.request.json
        self._exchange = exchange
        self._writer = Writer(exchange, reply.write_size)
        self._reply = reply
        self._with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._base: dict[str, Any] = {
            "id": "chatcmpl-test",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body["model"],
            "service_tier": "default",
            "system_fingerprint": "fp_test",
        }

    async def run(self) -> None:
        reply = self._reply
        await asyncio.sleep(reply.think)
        if reply.breaks_after == 0:
            return await self._trouble()
        await self._delta({"role": "assistant", "content": "", "refusal": None})
        for number, token in enumerate(reply.tokens, start=1):
            if number > 1 and reply.pace:
                await asyncio.sleep(reply.pace)
            await self._delta({"content": token})
            if number == reply.breaks_after:
                return await self._trouble()
        for index, call in enumerate(reply.calls):
            await self._call(index, call)
        await self._finish()

    async def _call(self, index: int, call: Call) -> None:
        """The name comes first, then the arguments piece by piece."""
        function = {"name": call.name, "arguments": ""}
        head = {"index": index, "id": call.id, "type": "function", "function": function}
        await self._delta({"tool_calls": [head]})
        for piece in parts(call.arguments, call.pieces):
            await self._delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    async def _finish(self) -> None:
        await self._delta({}, _finish_reason(self._reply))
        if self._with_usage:
            await self._send({**self._base, "choices": [], "usage": _usage(self._reply)})
        await self._writer.write(b"data: [DONE]\n\n")
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
                await self._writer.write(b'data: {"choices": [{"delta\n\n<<<\xff\xfe\n\n')
                self._exchange.end()
            case "error":
                await self._send(_error(Failure(500, code=self._reply.error_type)))
                self._exchange.end()

    async def _delta(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage: dict[str, Any] = {"usage": None} if self._with_usage else {}
        await self._send({**self._base, "choices": [choice], **usage, "obfuscation": "x7Q"})

    async def _send(self, event: dict[str, Any]) -> None:
        await self._writer.write(b"data: %b\n\n" % msgspec.json.encode(event))


def _completion(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.tokens)}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in reply.calls
        ]
    choice = {
        "index": 0,
        "message": {**message, "refusal": None},
        "logprobs": None,
        "finish_reason": _finish_reason(reply),
    }
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [choice],
        "usage": _usage(reply),
    }


def _finish_reason(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.calls else "stop")


def _usage(reply: Reply) -> dict[str, Any]:
    written = len(reply.tokens)
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": written,
        "total_tokens": reply.input_tokens + written,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _bad_messages(messages: Any) -> Failure | None:
    if not isinstance(messages, list) or not messages:
        return Failure(400, "Invalid 'messages': expected an array with at least one message.")
    open_calls: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                return Failure(400, "'tool' must be a response to a preceeding message")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return Failure(400, "'tool_calls' must be followed by tool messages")
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    return None


def _wrong_key(request: Request) -> str:
    # The real one repeats the key, with its middle replaced.
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    return f"Incorrect API key provided: {key[:8]}***{key[-4:]}."


def _list_models(exchange: Exchange, models: Sequence[str]) -> None:
    data = [{"id": m, "object": "model", "created": 0, "owned_by": "test"} for m in models]
    _respond(exchange, {"object": "list", "data": data})


def _respond(exchange: Exchange, body: dict[str, Any]) -> None:
    exchange.respond(200, msgspec.json.encode(body), {}, content_type="application/json")


def _fail(exchange: Exchange, failure: Failure) -> None:
    body = failure.body or msgspec.json.encode(_error(failure))
    exchange.respond(failure.status, body, failure.headers, content_type=failure.content_type)


def _error(failure: Failure) -> dict[str, Any]:
    kind, code, message = _TYPES.get(failure.status, _OTHER)
    error = {
        "message": failure.message or message,
        "type": kind,
        "param": None,
        "code": failure.code or code,
    }
    return {"error": error}


if __name__ == "__main__":
    run(OpenAIServer, "A fake OpenAI server.")
