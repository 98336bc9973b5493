"""Anthropic's Messages API: requests as it wants them, answers as our events.

Owns the shape of messages, tools and system blocks, and the events of a streamed message. Does
not own how the bytes travel (`sdk_transport`) nor which part of a prompt is stable (`claude`).
"""

from collections.abc import Iterator, Sequence
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
from understudy.brains.hosted_models import (
    THINKING_TOKENS,
    claude_always_thinks,
    claude_takes_sampling,
    claude_thinking,
)
from understudy.brains.sse import EventStream, NotAnEventStream

Block = dict[str, Any]

_OMITTED = "(Earlier messages are left out.)"
_FINISHES: dict[str, Finish] = {
    "max_tokens": Finish("length"),
    "model_context_window_exceeded": Finish("length"),
    "tool_use": Finish("tool_calls"),
    "refusal": Finish("refusal"),
}


def message_payload(request: BrainRequest, model: str, stable: str, rest: str) -> dict[str, Any]:
    """The body of a request for a streamed message.

    The system prompt comes in two parts: `stable` is marked for the provider's cache, `rest`
    changes from turn to turn. Sampling is left out for models that refuse it.
    """
    payload: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": _messages(request.messages),
        "stream": True,
        **claude_thinking(model),
    }
    if claude_always_thinks(model):
        payload["max_tokens"] += THINKING_TOKENS
    if system := _system(request.messages, stable, rest):
        payload["system"] = system
    if claude_takes_sampling(model):
        payload |= _sampling(request)
    if request.stop:
        payload["stop_sequences"] = list(request.stop)
    if request.tools:
        payload["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": t.parameters}
            for t in request.tools
        ]
    return payload


def _sampling(request: BrainRequest) -> dict[str, float]:
    # Only one of the two is accepted.
    if request.temperature is not None:
        return {"temperature": request.temperature}
    return {} if request.top_p is None else {"top_p": request.top_p}


def _system(messages: Sequence[BrainMessage], stable: str, rest: str) -> list[Block]:
    blocks: list[Block] = []
    if stable.strip():
        mark = {"cache_control": {"type": "ephemeral"}}
        blocks.append({"type": "text", "text": stable, **mark})
    texts = [rest, *(m.content for m in messages if m.role == "system")]
    return blocks + [_text(text) for text in texts if text.strip()]


def _messages(messages: Sequence[BrainMessage]) -> list[Block]:
    """User and assistant in turn, the user first, as the API demands it."""
    turns: list[Block] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [_text(_OMITTED)]})
    return turns


def _blocks(message: BrainMessage) -> list[Block]:
    if message.role == "tool":
        result: Block = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        if message.content.strip():
            result["content"] = message.content
        return [result]
    blocks = [_text(message.content)] if message.content.strip() else []
    for call in message.tool_calls:
        use = {"type": "tool_use", "id": call.id, "name": call.name}
        blocks.append({**use, "input": _arguments(call)})
    return blocks


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object; empty if what the model wrote is none."""
    try:
        return msgspec.json.decode(call.arguments, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _ContentBlock(msgspec.Struct):
    type: str
    id: str = ""
    name: str = ""
    text: str = ""
    input: Any = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    """Any event of a stream; which fields it has depends on its `type`."""

    type: str
    message: _Message | None = None
    content_block: _ContentBlock | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


class MessageReader:
    """Reads one streamed message.

    Text and tool calls come as they are complete, usage and the finish from `finish`. `done` says
    that the server has nothing more to say.
    """

    def __init__(self, failures: Failures) -> None:
        self.done = False
        self._failures = failures
        self._stream = EventStream()
        self._decoder = msgspec.json.Decoder(_Event)
        self._open: _ContentBlock | None = None
        self._arguments = ""
        self._usage = _Usage()
        self._reason: str | None = None

    def feed(self, data: bytes) -> Iterator[BrainEvent]:
        """The text and the whole tool calls in `data`; raises `BrainError`."""
        try:
            events = self._stream.feed(data)
        except NotAnEventStream:
            raise self._failures.unreadable() from None
        return self._read(events)

    def finish(self) -> Iterator[BrainEvent]:
        """What is left when no more bytes come; raises `BrainError` if the answer has no end."""
        if not self.done:
            yield from self._read(self._stream.finish())
        if self._reason is None:
            raise self._failures.broke_off()
        yield _usage(self._usage)
        yield _FINISHES.get(self._reason, Finish())

    def _read(self, events: list[bytes]) -> Iterator[BrainEvent]:
        for data in events:
            try:
                event = self._decoder.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise self._failures.unreadable() from None
            found = self._take(event)
            if found is not None:
                yield found

    def _take(self, event: _Event) -> BrainEvent | None:
        """Note what an event tells, and return what it completes."""
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._arguments += event.delta.partial_json
                return Text(event.delta.text) if event.delta.text else None
            case "content_block_start" if event.content_block is not None:
                self._open, self._arguments = event.content_block, ""
                return Text(self._open.text) if self._open.text else None
            case "content_block_stop":
                return self._close_block()
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                self._reason = (event.delta and event.delta.stop_reason) or self._reason
            case "message_stop":
                self.done = True
            case "error":
                raise self._failures.reported(msgspec.to_builtins(event))
            case _:
                pass  # A ping, or an event newer than this program: the API asks to pass over it.
        return None

    def _close_block(self) -> ToolCall | None:
        block, self._open = self._open, None
        if block is None or block.type != "tool_use":
            return None
        given = self._arguments or msgspec.json.encode(block.input or {}).decode()
        return ToolCall(block.id, block.name, given)

    def _count(self, usage: _Usage | None) -> None:
        """Take the counts that are there: each is the total so far."""
        for name in _Usage.__struct_fields__:
            value = getattr(usage, name, None)
            if value is not None:
                setattr(self._usage, name, value)


def _usage(usage: _Usage) -> Usage:
    """The provider counts what it read from and wrote to its cache beside the rest of the input."""
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    return Usage(
        input_tokens=(usage.input_tokens or 0) + cached + written,
        output_tokens=usage.output_tokens or 0,
        cached_tokens=cached,
        written_tokens=written,
    )
