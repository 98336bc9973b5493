"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`.

Owns which paths answer in this form, and the status, type and code of each error. Does not own
the sentences, which are those of every other route.
"""

from collections.abc import Mapping

import msgspec
from fastapi.responses import Response

from understudy.brains.base import BrainError, ErrorKind

PREFIX = "/v1/"

_STATUS: dict[ErrorKind, int] = {
    "unavailable": 503,
    "overloaded": 429,
    "timeout": 504,
    "broken": 502,
    # The provider's opinion of the server's key and model, not of the caller's.
    "unauthorized": 502,
    "unknown_model": 502,
    "context_too_long": 400,
    "refused": 400,
    "failed": 500,
}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}

ERROR_RESPONSES: dict[int | str, dict[str, object]] = {
    status: {
        "description": description,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["message", "type", "param", "code"],
                            "properties": {
                                "message": {"type": "string"},
                                "type": {"type": "string"},
                                "param": {"type": ["string", "null"]},
                                "code": {"type": ["string", "null"]},
                            },
                        }
                    },
                }
            }
        },
    }
    for status, description in (
        ("4XX", "What is wrong with the request, in OpenAI's form."),
        ("5XX", "What is wrong with the server, in OpenAI's form."),
    )
}
"""The errors of these routes, as OpenAPI describes them."""


class ErrorObject(msgspec.Struct, frozen=True):
    """The inside of an error."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


def speaks_openai(path: str) -> bool:
    """Whether errors at `path` are in OpenAI's form."""
    return path.startswith(PREFIX)


def error_object(status: int, detail: str, *, code: str = "", param: str = "") -> ErrorObject:
    """The error for a status and a sentence."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return ErrorObject(detail, kind, param or None, code or _CODES.get(status))


def error_body(error: ErrorObject) -> bytes:
    """The JSON document of an error."""
    return msgspec.json.encode({"error": error})


def openai_error_response(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: str = "",
    param: str = "",
) -> Response:
    """The error as a response; a body that is not valid is 400, as at OpenAI."""
    status = 400 if status == 422 else status
    body = error_body(error_object(status, detail, code=code, param=param))
    return Response(body, status, media_type="application/json", headers=dict(headers or {}))


def status_of(failure: BrainError | None) -> int:
    """The status that tells a client what a failed brain means for it."""
    return _STATUS[failure.kind] if failure else 500


def code_of(failure: BrainError | None) -> str:
    """The code of a failed brain."""
    if failure is None:
        return "failed"
    return "context_length_exceeded" if failure.kind == "context_too_long" else failure.kind


def retry_headers(failure: BrainError | None, *, retryable: bool) -> dict[str, str]:
    """What a client is told about asking again.

    The official SDKs heed `x-should-retry` before they look at the status.
    """
    headers = {"x-should-retry": "true" if retryable else "false"}
    if retryable:
        wait = failure.retry_after if failure else None
        headers["Retry-After"] = str(int(wait) + 1 if wait else 1)
    return headers
