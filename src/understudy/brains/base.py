"""The one interface to every model.

A provider implements `Brain.stream`; `stream_chat` and `chat` follow from it. Does not own which
brain answers (`router`) nor what it is told (`engine.context`).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from understudy.storage.rows import BASE

Task = Literal["chat", "thanks", "summarize", "analyze", "translate", "coach"]
"""What is asked of a brain: a chat reply, thanks for a stream event, or one of the commands."""


ErrorKind = Literal[
    "unavailable",  # cannot be reached, answers 5xx, or its circuit is open
    "overloaded",  # 429 and the like: later it may work
    "timeout",  # said nothing, or did not finish, in time
    "broken",  # broke off, or said what no one can read
    "unauthorized",  # the key is wrong or may not do this
    "unknown_model",
    "context_too_long",
    "refused",  # the request is not accepted for another reason
    "failed",  # broke down inside Understudy
]
"""What went wrong with a brain, for those who decide what to do about it."""

RETRYABLE: frozenset[ErrorKind] = frozenset({"unavailable", "overloaded", "timeout", "broken"})
"""The kinds for which asking again may help."""


class BrainError(Exception):
    """A brain failed. `retryable` says whether asking again may help.

    `retry_after` is how many seconds the provider asks to be left alone, if it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind = "failed",
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.retryable = kind in RETRYABLE if retryable is None else retryable
        self.retry_after = retry_after


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool a model may ask for; `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolCall(msgspec.Struct, frozen=True):
    """A model asks for a tool; `arguments` is JSON text as the model wrote it, maybe not valid."""

    id: str
    name: str
    arguments: str


class BrainMessage(msgspec.Struct, frozen=True):
    """One message of the conversation as a model sees it.

    An assistant's message may hold `tool_calls`; a message of role `tool` answers the call
    `tool_call_id`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class BrainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a brain is given for one reply.

    `messages` ends with what is to be answered. The fields below it state the same facts as data,
    for brains that do not read prose: `text` is the bare message of `viewer`, `event` the kind of
    a stream event, `amount` its number, `arguments` those of a command, `key` names the
    conversation (for brains that avoid repeating themselves). `version` is the trained version that
    is to answer, empty for the usual one; brains without versions ignore it. `temperature`, `top_p`
    and `stop` are the provider's defaults when they are None or empty. With the same `seed` a local
    model draws the same words again; other brains ignore it.
    """

    messages: Sequence[BrainMessage]
    system_prompt: str = ""
    task: Task = "chat"
    text: str = ""
    viewer: str = ""
    persona: str = "default"
    channel: str = ""
    streamer: str = ""
    cohost: str = "Understudy"
    event: str = ""
    amount: int = 0
    arguments: dict[str, str] = {}
    key: str = ""
    version: str = ""
    max_tokens: int = 400
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    tools: Sequence[ToolSpec] = ()


class Text(msgspec.Struct, frozen=True):
    """The next piece of the reply; may hold emotion tags such as `[happy:0.6]`."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and written, as the provider counts them (words for the scripted brain).

    Of `input_tokens`, `cached_tokens` had been read before, and `written_tokens` were put into the
    provider's cache, which some providers charge more for.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0


class Finish(msgspec.Struct, frozen=True):
    """Why the model ended: by itself, at `max_tokens`, to call tools, or it declined."""

    reason: Literal["stop", "length", "tool_calls", "refusal"] = "stop"


BrainEvent = Text | ToolCall | Usage | Finish


def versioned(model: str, version: str) -> str:
    """The name of `model` with the trained version that answers; `base` is no such version."""
    return model if version in {"", BASE} else f"{model}@{version}"


class Brain(ABC):
    """A model that streams replies. A provider subclasses it and implements `stream`."""

    name: str
    """Provider name as in `brain.provider`."""
    model: str
    """Model name or version, recorded with every reply."""

    @abstractmethod
    def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Yield the reply piece by piece; raises `BrainError`. Closing it stops the model."""

    @abstractmethod
    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what this brain is."""

    def answers_as(self, request: BrainRequest) -> str:
        """The model's name as it is recorded with the reply, a trained version at its end."""
        return self.model

    def supports_streaming(self) -> bool:
        """Whether tokens arrive as they are made."""
        return True

    async def stream_chat(
        self, messages: Sequence[BrainMessage | dict[str, str]], system_prompt: str = ""
    ) -> AsyncGenerator[str, None]:
        """The reply to `messages` token by token: `async for token in brain.stream_chat(…)`.

        Each message is a `BrainMessage` or a dict with `role` and `content`.
        """
        request = simple_request(messages, system_prompt)
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Text):
                    yield event.text

    async def chat(
        self, messages: Sequence[BrainMessage | dict[str, str]], system_prompt: str = ""
    ) -> str:
        """The whole reply to `messages`."""
        return "".join([token async for token in self.stream_chat(messages, system_prompt)])

    async def aclose(self) -> None:
        """Give back connections and models. The brain is not used afterwards."""
        return None


def simple_request(
    messages: Sequence[BrainMessage | dict[str, str]], system_prompt: str = ""
) -> BrainRequest:
    """A request from bare messages; the last user message is the text to answer."""
    converted = [msgspec.convert(m, BrainMessage) if isinstance(m, dict) else m for m in messages]
    text = next((m.content for m in reversed(converted) if m.role == "user"), "")
    return BrainRequest(messages=converted, system_prompt=system_prompt, text=text)
