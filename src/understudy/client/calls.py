"""The requests of the API as data, and what their answers mean. Does no I/O."""

from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from understudy.client.errors import (
    ApiError,
    ClientError,
    ConnectionLost,
    ServerFailed,
    Unreachable,
    api_error,
)
from understudy.client.events import Answer, History, Session

T = TypeVar("T")

SILENCE_SECONDS = 30.0
"""Silence after which a stream counts as lost: three of the server's pings are missing."""
WHOLE_SECONDS = 180.0
"""How long an answer in one piece may take; nothing is heard of it before."""
_NOT_BEGUN = {429, 503}
"""The server answers these before it begins anything, so asking again does nothing twice."""


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request and the type of its answer."""

    method: str
    path: str
    answer: type[T]
    body: dict[str, Any] | None = None
    headers: dict[str, str] = {}

    def read(self, response: httpx2.Response) -> T:
        """The answer; raises `ApiError`. The body must have been read."""
        if response.status_code >= 400:
            raise api_error(response.status_code, response.headers, response.content)
        try:
            return msgspec.json.decode(response.content or b"null", type=self.answer)
        except msgspec.DecodeError:
            raise ServerFailed(
                "the server's answer is not Understudy's: check the address", response.status_code
            ) from None


class _Stopped(msgspec.Struct, frozen=True):
    stopped: bool


class _Ticket(msgspec.Struct, frozen=True):
    ticket: str


def timeout(seconds: float) -> httpx2.Timeout:
    """How long to wait for a connection, and for the server to say something."""
    return httpx2.Timeout(seconds, connect=5.0)


def headers(token: str | None) -> dict[str, str]:
    """What every request carries."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def may_repeat(error: ApiError | httpx2.TransportError) -> bool:
    """Whether a request that failed so can be sent again without doing anything twice."""
    if isinstance(error, ApiError):
        return error.status in _NOT_BEGUN
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)


def final_error(error: ApiError | httpx2.TransportError) -> ClientError:
    """What a request that was given up on raises."""
    if isinstance(error, ApiError):
        return error
    what = type(error).__name__
    if may_repeat(error):
        return Unreachable(f"the server does not answer ({what}): is it running at this address?")
    return ConnectionLost(f"the connection broke ({what}): see what came of it, then try again")


def asked_wait(error: ApiError | httpx2.TransportError) -> float:
    """How many seconds the server asks to be left alone."""
    return error.retry_after if isinstance(error, ApiError) else 0.0


def start(user: str, persona: str | None) -> Call[Session]:
    """`POST /chat/start`."""
    body = {"user_id": user, **({"persona": persona} if persona else {})}
    return Call(method="POST", path="/chat/start", answer=Session, body=body)


def message(session_id: str, text: str) -> Call[Answer]:
    """`POST /chat/message`."""
    body = {"session_id": session_id, "message": text}
    return Call(method="POST", path="/chat/message", answer=Answer, body=body)


def history(session_id: str) -> Call[History]:
    """`GET /chat/sessions/{id}`."""
    return Call(method="GET", path=f"/chat/sessions/{quote(session_id, safe='')}", answer=History)


def end(session_id: str) -> Call[None]:
    """`DELETE /chat/sessions/{id}`."""
    path = f"/chat/sessions/{quote(session_id, safe='')}"
    return Call(method="DELETE", path=path, answer=type(None))


def stop(run: str) -> Call[_Stopped]:
    """`POST /chat/runs/{run}/stop`."""
    return Call(method="POST", path=f"/chat/runs/{quote(run, safe='')}/stop", answer=_Stopped)


def ticket() -> Call[_Ticket]:
    """`POST /ws/ticket`."""
    return Call(method="POST", path="/ws/ticket", answer=_Ticket)
