"""The one interface to every model.

A provider implements `Brain.stream`; `stream_chat` and `chat` follow from it. Does not own which
brain answers (`router`) nor what it is told (`engine.context`).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Literal

import msgspec

Task = Literal["chat", "thanks", "summarize", "analyze", "translate", "coach"]
"""What is asked of a brain: a chat reply, thanks for a stream event, or one of the commands."""


class BrainError(Exception):
    """A brain failed. `retryable` says whether asking again may help."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class BrainMessage(msgspec.Struct, frozen=True):
    """One message of the conversation as a model sees it."""

    role: Literal["system", "user", "assistant"]
    content: str


class BrainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a brain is given for one reply.

    `messages` ends with what is to be answered. The fields below it state the same facts as data,
    for brains that do not read prose: `text` is the bare message of `viewer`, `event` the kind of
    a stream event, `amount` its number, `arguments` those of a command, `key` names the
    conversation (for brains that avoid repeating themselves).
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
    max_tokens: int = 400


class Text(msgspec.Struct, frozen=True):
    """The next piece of the reply; may hold emotion tags such as `[happy:0.6]`."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and written, as the provider counts them (words for the scripted brain)."""

    input_tokens: int = 0
    output_tokens: int = 0


BrainEvent = Text | Usage


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
