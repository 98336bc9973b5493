"""What can go wrong for a client, each with one sentence for people.

Owns the reading of problem documents (RFC 9457). Does not own which of them are worth a retry
(`calls`, `reading`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import msgspec


class ClientError(Exception):
    """Anything this client raises; the message is one sentence for people."""


class Unreachable(ClientError):
    """No server answers at the address."""


class ConnectionLost(ClientError):
    """The connection broke and could not be taken up again."""


class ApiError(ClientError):
    """The server refused. `retry_after` is how many seconds it asks to be left alone, or 0."""

    kind: ClassVar[str] = "refused"

    def __init__(self, detail: str, status: int, *, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.retry_after = retry_after


class Unauthorized(ApiError):
    """The token is missing, wrong or expired."""

    kind = "unauthorized"


class Forbidden(ApiError):
    """The token's role may not do this."""

    kind = "forbidden"


class NotFound(ApiError):
    """There is no such session, run or persona."""

    kind = "not_found"


class SessionEnded(ApiError):
    """The session has ended and takes no more messages."""

    kind = "ended"


class Gone(ApiError):
    """The run can no longer be resumed; `reply` is all that was said."""

    kind = "gone"

    def __init__(self, detail: str, status: int, reply: str, message_id: str | None) -> None:
        super().__init__(detail, status)
        self.reply = reply
        self.message_id = message_id


class Invalid(ApiError):
    """The request is not valid: too long, blank, or not understood."""

    kind = "invalid"


class TooManyRequests(ApiError):
    """The limits are used up for now."""

    kind = "too_many_requests"


class ServerFailed(ApiError):
    """The server, or the model behind it, failed."""

    kind = "failed"


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: SessionEnded,
    413: Invalid,
    422: Invalid,
    429: TooManyRequests,
}


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that a response with `status` means; any body will do."""
    problem = _problem(body)
    detail = problem.get("detail")
    if not isinstance(detail, str) or not detail:
        detail = f"the server answered {status}, which is not Understudy's: check the address"
    if status == 410:
        stored = problem.get("reply")
        message_id = problem.get("message_id")
        return Gone(
            detail,
            status,
            stored if isinstance(stored, str) else "",
            message_id if isinstance(message_id, str) else None,
        )
    kind = ServerFailed if status >= 500 else _BY_STATUS.get(status, ApiError)
    return kind(detail, status, retry_after=_seconds(headers.get("retry-after", "")))


def _problem(body: bytes) -> dict[str, Any]:
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}


def _seconds(value: str) -> float:
    """`Retry-After` in seconds; a date in it is not worth a clock that may be wrong."""
    return float(value) if value.isdecimal() and len(value) < 7 else 0.0
