"""What a client of the OpenAI-compatible API asks, read into a one-off answer.

Owns which of OpenAI's parameters mean something here, and the refusal of those that would be
ignored at the cost of a wrong answer. Sampling hints that change nothing but taste (`seed`,
`presence_penalty` and the like) are ignored, as are keys OpenAI adds later.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from understudy.engine.oneoff import OneOffRequest
from understudy.engine.personas import Persona
from understudy.server.access import user_of
from understudy.server.auth import Principal
from understudy.server.bodies import TEXT_CHARS, Body, Cleaned, Name
from understudy.server.conversation import check_message
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.storage.sessions import SessionMessage

MAX_TOKENS = 1_000_000
MAX_STOPS = 4
_INSTRUCTING = {"system", "developer"}

Content = Annotated[Cleaned, Field(max_length=TEXT_CHARS)]
Stop = Annotated[Cleaned, Field(min_length=1, max_length=200)]
TokenLimit = Annotated[int, Field(ge=1, le=MAX_TOKENS)]


class PartBody(Body):
    """One part of a message; only text is understood."""

    type: Annotated[str, Field(max_length=100)]
    text: Content | None = None


class MessageBody(Body):
    """One message of the client's own history."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | list[PartBody] | None = None
    tool_calls: list[Any] | None = None


class StreamOptionsBody(Body):
    """What a stream holds beside the answer."""

    include_usage: bool | None = None


class CompletionBody(Body):
    """`POST /v1/chat/completions`: OpenAI's parameters that mean something here."""

    model: Name
    messages: list[MessageBody]
    stream: bool | None = None
    stream_options: StreamOptionsBody | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    user: Name | None = None
    n: int | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with the count of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


def read_request(
    services: Services, caller: Principal, persona: Persona, body: CompletionBody
) -> OneOffRequest:
    """The answer that is asked for; raises `Problem` 400 for what cannot be given."""
    _refuse_unsupported(body)
    user = user_of(caller, body.user or caller.user)
    texts = [_text(index, message) for index, message in enumerate(body.messages)]
    spoken = [
        (index, message, texts[index])
        for index, message in enumerate(body.messages)
        if message.role not in _INSTRUCTING
    ]
    if not spoken or spoken[-1][1].role != "user":
        raise _refusal("messages", "messages must end with a message of the user to answer")
    for _, message, text in spoken:
        if message.role == "user":
            check_message(services, text)
    return OneOffRequest(
        user=user,
        # Without a token or a name nobody is known: `local` is nothing to be greeted by.
        viewer=user if body.user or caller.token else "",
        persona=persona,
        text=spoken[-1][2],
        history=[_remembered(index, message, text, user) for index, message, text in spoken[:-1]],
        instructions="\n\n".join(
            text
            for message, text in zip(body.messages, texts, strict=True)
            if message.role in _INSTRUCTING and text.strip()
        ),
        trusted=caller.may("owner"),
        max_tokens=_token_limit(services, caller, body),
        temperature=body.temperature,
        top_p=body.top_p,
        stop=[body.stop] if isinstance(body.stop, str) else body.stop or [],
    )


def _refuse_unsupported(body: CompletionBody) -> None:
    """Raise `Problem` for the first parameter whose being ignored would mislead the caller."""
    form = (body.response_format or {}).get("type", "text")
    for name, is_asked, advice in (
        ("n", body.n not in {None, 1}, "only one answer is given: leave n out or set it to 1"),
        ("tools", bool(body.tools), "tools of the caller are not supported: leave tools out"),
        ("functions", bool(body.functions), "functions are not supported: leave functions out"),
        ("response_format", form != "text", "only text is answered: leave response_format out"),
        ("logprobs", bool(body.logprobs), "log probabilities are not known: leave logprobs out"),
        (
            "modalities",
            body.modalities not in (None, ["text"]),
            "only text is answered: leave modalities out",
        ),
    ):
        if is_asked:
            raise _refusal(name, advice)


def _text(index: int, message: MessageBody) -> str:
    """The text of a message; raises `Problem` for anything else in it."""
    where = f"messages.{index}"
    if message.role in {"tool", "function"} or message.tool_calls:
        raise _refusal(where, f"{where} is about a tool call, which is not supported: leave it out")
    if isinstance(message.content, list):
        return "".join(_part(f"{where}.content.{n}", p) for n, p in enumerate(message.content))
    return message.content or ""


def _part(where: str, part: PartBody) -> str:
    if part.type != "text" or part.text is None:
        raise _refusal(where, f"{where} is a part of type {part.type!r}: only text is understood")
    return part.text


def _remembered(index: int, message: MessageBody, text: str, user: str) -> SessionMessage:
    role = "user" if message.role == "user" else "assistant"
    return SessionMessage(id=f"messages.{index}", ts=0, role=role, user=user, text=text)


def _token_limit(services: Services, caller: Principal, body: CompletionBody) -> int | None:
    """The limit asked for; only the owner, who pays, may go beyond `brain.reply_tokens`."""
    asked = body.max_completion_tokens or body.max_tokens
    if asked is None or caller.may("owner"):
        return asked
    return min(asked, services.settings.brain.reply_tokens)


def _refusal(param: str, detail: str) -> Problem:
    return Problem(400, detail, param=param)
