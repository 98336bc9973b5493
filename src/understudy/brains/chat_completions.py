"""OpenAI's chat completions: requests as it wants them, answers as our events.

Owns the dialect that OpenAI, Ollama, vLLM, llama.cpp, LM Studio and many others share, and their
deviations from it. Does not own how the bytes travel (`http_transport`, `sdk_transport`).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.brains.base import (
    BrainEvent,
    BrainMessage,
    BrainRequest,
    Finish,
    Text,
    ToolCall,
    Usage,
)
from understudy.brains.failures import Failures
from understudy.brains.sse import EventStream, NotAnEventStream

PATH = "/chat/completions"

_DONE = b"[DONE]"
_FINISHES: dict[str, Finish] = {
    "length": Finish("length"),
    "tool_calls": Finish("tool_calls"),
    "function_call": Finish("tool_calls"),
    "content_filter": Finish("refusal"),
}


def completion_payload(
    request: BrainRequest, model: str, *, limit_field: str, extra: dict[str, Any]
) -> dict[str, Any]:
    """The body of a request for a streamed completion.

    `limit_field` is what the target calls the most tokens to write: `max_tokens`, at OpenAI
    itself `max_completion_tokens`. `extra` are further fields for the model.
    """
    payload: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(request)),
        "stream": True,
        "stream_options": {"include_usage": True},
        limit_field: request.max_tokens,
        **extra,
    }
    if request.temperature is not None:
        payload["temperature"] = request.temperature
    if request.top_p is not None:
        payload["top_p"] = request.top_p
    if request.stop:
        payload["stop"] = list(request.stop)
    if request.tools:
        payload["tools"] = [
            {"type": "function", "function": msgspec.to_builtins(tool)} for tool in request.tools
        ]
    return payload


def _messages(request: BrainRequest) -> Iterator[dict[str, Any]]:
    if request.system_prompt:
        yield {"role": "system", "content": request.system_prompt}
    for message in request.messages:
        yield _message(message)


def _message(message: BrainMessage) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        fields["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return fields


class _FunctionDelta(msgspec.Struct):
    name: str | None = None
    # Text in pieces; some servers send the whole object at once.
    arguments: str | dict[str, Any] | None = None


class _CallDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _FunctionDelta | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None


class _OpenCall:
    """A tool call of which parts have come."""

    def __init__(self, index: int, call_id: str) -> None:
        self.index = index
        self.id = call_id
        self.name = ""
        self.arguments = ""

    def add(self, delta: _FunctionDelta) -> None:
        self.name += delta.name or ""
        if isinstance(delta.arguments, dict):
            self.arguments = msgspec.json.encode(delta.arguments).decode()
        else:
            self.arguments += delta.arguments or ""


class CompletionReader:
    """Reads one streamed completion.

    Text comes as it is read. Tool calls come whole, then usage if the server counts, then the
    finish, all of them from `finish`. `done` says that the server has nothing more to say.
    """

    def __init__(self, failures: Failures) -> None:
        self.done = False
        self._failures = failures
        self._stream = EventStream()
        self._decoder = msgspec.json.Decoder(_Chunk)
        self._calls: list[_OpenCall] = []
        self._usage: _Usage | None = None
        self._reason: str | None = None
        self._refused = False

    def feed(self, data: bytes) -> Iterator[BrainEvent]:
        """The text in `data`; raises `BrainError` where it cannot be read on."""
        try:
            events = self._stream.feed(data)
        except NotAnEventStream:
            raise self._failures.unreadable() from None
        return self._read(events)

    def finish(self) -> Iterator[BrainEvent]:
        """What is left when no more bytes come; raises `BrainError` if the answer has no end."""
        if not self.done:
            yield from self._read(self._stream.finish())
        if not self.done and self._reason is None:
            raise self._failures.broke_off()
        for number, call in enumerate(self._calls, start=1):
            yield ToolCall(call.id or f"call_{number}", call.name, call.arguments or "{}")
        if self._usage is not None:
            yield _usage(self._usage)
        yield self._finish()

    def _read(self, events: list[bytes]) -> Iterator[BrainEvent]:
        for data in events:
            if data.strip() == _DONE:
                self.done = True
                return
            yield from self._take(self._decode(data))

    def _decode(self, data: bytes) -> _Chunk:
        try:
            chunk = self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._unreadable(data) from None
        if chunk.error or chunk.object == "error":
            raise self._failures.reported(msgspec.json.decode(data))
        return chunk

    def _unreadable(self, data: bytes) -> Exception:
        """llama.cpp's errors are no chunks but hold a message."""
        try:
            document = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._failures.unreadable()
        return self._failures.reported(document)

    def _take(self, chunk: _Chunk) -> Iterator[BrainEvent]:
        if chunk.usage is not None:
            self._usage = chunk.usage
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        if choice.finish_reason:
            self._reason = choice.finish_reason
        delta = choice.delta
        if delta is None:
            return
        if delta.content:
            yield Text(delta.content)
        if delta.refusal:
            self._refused = True
            yield Text(delta.refusal)
        for call in delta.tool_calls or ():
            self._add_call(call)

    def _add_call(self, delta: _CallDelta) -> None:
        call = self._find_call(delta)
        if delta.function is not None:
            call.add(delta.function)

    def _find_call(self, delta: _CallDelta) -> _OpenCall:
        """The call a part belongs to; a new id begins a new one, whatever its index says."""
        last = self._calls[-1] if self._calls else None
        index = delta.index if delta.index is not None else (last.index if last else 0)
        for call in reversed(self._calls):
            if call.index == index and delta.id in (None, "", call.id):
                return call
        call = _OpenCall(index, delta.id or "")
        self._calls.append(call)
        return call

    def _finish(self) -> Finish:
        if self._refused:
            return Finish("refusal")
        if self._calls and self._reason in (None, "stop"):
            return Finish("tool_calls")
        return _FINISHES.get(self._reason or "", Finish())


def _usage(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )
