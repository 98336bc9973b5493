"""What a client gets: the events of an answer, sessions and their history. Times are in ms, UTC."""

from typing import Literal

import msgspec

Status = Literal["complete", "stopped", "replaced", "abandoned", "failed"]
"""How an answer ended."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and written for an answer."""

    input_tokens: int = 0
    output_tokens: int = 0


class Token(msgspec.Struct, frozen=True, tag="token"):
    """The next piece of the answer, to be shown right after the one before."""

    text: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The end of an answer. `message_id` is None when the server could not store it.

    `interrupted` says why it ended early (`stopped`, `replaced`, `abandoned`); empty when it is
    complete. `usage` is None when it is not known any more.
    """

    message_id: str | None
    usage: Usage | None = None
    interrupted: str = ""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The end of an answer that broke off: one sentence, and whether asking again may help."""

    error: str
    retryable: bool = False


StreamEvent = Token | Done | Failed
"""What a stream yields: tokens, then exactly one `Done` or `Failed`."""


class Session(msgspec.Struct, frozen=True):
    """A conversation with a persona."""

    session_id: str
    persona: str


class Answer(msgspec.Struct, frozen=True):
    """An answer in one piece."""

    session_id: str
    reply: str
    message_id: str | None = None


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation; `run` names the turn it belongs to."""

    id: str
    ts: int
    role: Literal["user", "assistant"]
    user: str
    text: str
    run: str = ""
    status: Status = "complete"


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation so far; `run` is the answer under way, if there is one."""

    session_id: str
    user: str
    persona: str
    created_at: int
    ended_at: int | None = None
    run: str | None = None
    messages: list[HistoryMessage] = []
