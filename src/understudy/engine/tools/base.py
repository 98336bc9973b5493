"""The vocabulary of tools: what one is, for whom it is called, and what is kept of a call.

Owns who may have which tool called. Does not own how a reply comes to a call (`rounds`) nor what
is done before it is carried out (`toolbox`).
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import msgspec

from understudy.brains.base import ToolSpec
from understudy.config import Confirmation, ToolRole
from understudy.events import Role

Outcome = Literal[
    "done",
    "failed",  # it said what went wrong, or broke down
    "timeout",  # it did not answer in time
    "invalid",  # the arguments are not a JSON object, or too long
    "unknown",  # there is no tool of this name
    "forbidden",  # there is, but not for this caller
    "declined",  # a moderator said no
    "expired",  # no moderator said anything in time
    "crowded",  # too many calls wait for a moderator
    "cancelled",  # the reply was ended meanwhile
    "left_out",  # too many calls in one reply
]
"""What came of a call."""


class ToolError(Exception):
    """A tool could not do what it was asked; the model reads the message, one sentence."""


class Caller(msgspec.Struct, frozen=True):
    """Whom the reply is for, hence for whom tools are called.

    `role` is the standing of `user` in `channel`, as the platform or the token says; nothing that
    is said in the conversation changes it.
    """

    user: str
    role: Role
    channel: str = ""
    session: str = ""


class Tool(ABC):
    """Something a brain may ask for.

    `trusted` says that the result holds no words of strangers: nothing in it could talk a model
    into calling another tool.
    """

    spec: ToolSpec
    role: ToolRole = "everyone"
    confirm: Confirmation = "never"
    trusted: ClassVar[bool] = False

    @abstractmethod
    async def call(self, arguments: dict[str, Any], caller: Caller) -> str:
        """The result in words for the model; raises `ToolError`. Cancelling it stops it."""


class ToolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call for the log: for whom, what, and what came of it.

    `arguments` is JSON text without personal data and cut to `RECORDED_CHARS`; `detail` says in
    one sentence why it was not done; `approved_by` is who confirmed or declined it; `ms` is how
    long the tool itself took.
    """

    caller: Caller
    tool: str
    arguments: str
    outcome: Outcome
    detail: str = ""
    approved_by: str = ""
    ms: int = 0


RECORDED_CHARS = 2_000
"""Longest arguments, in characters, kept in a record."""


def may_call(role: Role, needed: ToolRole) -> bool:
    """Whether a tool for `needed` may be called for someone of `role`."""
    match needed:
        case "everyone":
            return True
        case "moderator":
            return role in {"moderator", "streamer"}
        case "streamer":
            return role == "streamer"
