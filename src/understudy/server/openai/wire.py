"""Completions, chunks and models as OpenAI's clients read them.

Owns their JSON, which follows https://platform.openai.com/docs/api-reference/chat. Does not own
when what is sent (`responses`).
"""

import msgspec
from msgspec import UNSET, UnsetType

from understudy.brains.base import Usage

DONE = b"data: [DONE]\n\n"
_FINISH = {"stop": "stop", "length": "length", "refusal": "content_filter", "tool_calls": "stop"}
"""`Finish.reason` in OpenAI's words; tools are not the caller's, so it never has to call them."""
_encode = msgspec.json.Encoder().encode


class CachedTokens(msgspec.Struct, frozen=True):
    """How many of the tokens that were read the provider had read before."""

    cached_tokens: int


class TokenUsage(msgspec.Struct, frozen=True):
    """What an answer cost in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class Message(msgspec.Struct, frozen=True):
    """The whole answer."""

    content: str
    role: str = "assistant"
    refusal: None = None


class Choice(msgspec.Struct, frozen=True):
    """The one choice of a completion."""

    message: Message
    finish_reason: str
    index: int = 0
    logprobs: None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer in one piece."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage


class Delta(msgspec.Struct, frozen=True):
    """What a chunk adds."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChunkChoice(msgspec.Struct, frozen=True):
    """The one choice of a chunk."""

    delta: Delta
    finish_reason: str | None = None
    index: int = 0
    logprobs: None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a streamed answer; `usage` is there only when it was asked for."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: TokenUsage | UnsetType | None = UNSET


class Model(msgspec.Struct, frozen=True):
    """A persona under the name that requests give as `model`; `created` is not known."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "understudy"


class Writer:
    """Writes one answer, whole or as the events of a stream."""

    def __init__(self, run: str, created: int, model: str, *, include_usage: bool) -> None:
        self._id = f"chatcmpl-{run.removeprefix('run_')}"
        self._created = created
        self._model = model
        self._include_usage = include_usage

    def whole(self, text: str, reason: str, usage: Usage) -> bytes:
        """The answer in one piece."""
        return _encode(
            Completion(
                id=self._id,
                created=self._created,
                model=self._model,
                choices=[Choice(Message(text), _FINISH[reason])],
                usage=_token_usage(usage),
            )
        )

    def opening(self) -> bytes:
        """The event that says who speaks."""
        return self._event([ChunkChoice(Delta(role="assistant", content=""))])

    def token(self, text: str) -> bytes:
        """The event of the next piece."""
        return self._event([ChunkChoice(Delta(content=text))])

    def closing(self, reason: str, usage: Usage) -> bytes:
        """The events that say why and at what cost the answer has ended."""
        events = self._event([ChunkChoice(Delta(), _FINISH[reason])])
        if self._include_usage:
            events += self._event([], _token_usage(usage))
        return events + DONE

    def _event(self, choices: list[ChunkChoice], usage: TokenUsage | None = None) -> bytes:
        chunk = Chunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            usage=usage if self._include_usage else UNSET,
        )
        return b"data: %b\n\n" % _encode(chunk)


def models_body(models: list[Model]) -> bytes:
    """The list of models."""
    return _encode({"object": "list", "data": models})


def model_body(model: Model) -> bytes:
    """One model."""
    return _encode(model)


def _token_usage(usage: Usage) -> TokenUsage:
    return TokenUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        prompt_tokens_details=CachedTokens(usage.cached_tokens),
    )
