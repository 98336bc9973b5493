"""Errors as `application/problem+json` (RFC 9457): type, title, status, detail.

Owns the form of every error the HTTP API answers with; below `/v1/` that is OpenAI's, which
`openai.errors` knows. Each detail is one sentence that says what is wrong and what to do.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from understudy.brains.base import BrainError
from understudy.engine.personas import PersonaError, PersonaNotFound
from understudy.engine.sessions import SessionEnded, SessionNotFound
from understudy.engine.turns import Busy
from understudy.server.openai.errors import openai_error_response, speaks_openai
from understudy.storage.chat_log import InvalidCursor
from understudy.storage.errors import StorageError

MEDIA_TYPE = "application/problem+json"


_DOCUMENT: dict[str, object] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
PROBLEM_RESPONSES: dict[int | str, dict[str, object]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": _DOCUMENT}}}
    for status, description in (
        ("4XX", "What is wrong with the request, in one sentence."),
        ("5XX", "What is wrong with the server, in one sentence."),
    )
}
"""The errors every route may answer with, as OpenAPI describes them."""


class Problem(Exception):
    """An error answer; raise it anywhere in a route.

    `code` and `param`, for machines, are told only to OpenAI's clients.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        code: str = "",
        param: str = "",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.code = code
        self.param = param


def problem_body(status: int, detail: str) -> bytes:
    """The problem document."""
    title = HTTPStatus(status).phrase
    return msgspec.json.encode(
        {"type": "about:blank", "title": title, "status": status, "detail": detail}
    )


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The problem document as a response."""
    return Response(
        problem_body(status, detail), status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def error_response(
    path: str,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: str = "",
    param: str = "",
) -> Response:
    """The error as clients of `path` expect it: a problem document, or OpenAI's form."""
    if speaks_openai(path):
        return openai_error_response(status, detail, headers, code=code, param=param)
    return problem_response(status, detail, headers)


_STATUS: dict[type[Exception], int] = {
    SessionNotFound: 404,
    SessionEnded: 409,
    PersonaNotFound: 404,
    PersonaError: 422,
    Busy: 503,
    BrainError: 502,
    InvalidCursor: 422,
    StorageError: 503,
}


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for error in _STATUS:
        app.add_exception_handler(error, _on_room_error)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error_response(
        request.url.path,
        error.status,
        error.detail,
        error.headers,
        code=error.code,
        param=error.param,
    )


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = _explain(request, error)
    return error_response(request.url.path, error.status_code, detail, error.headers)


def _explain(request: Request, error: HTTPException) -> str:
    """The sentence of an error that the framework found; its own are one or two words."""
    path = request.url.path[:100]
    match error.status_code:
        case 400:
            return "the body cannot be read: send one JSON object in UTF-8"
        case 404:
            return f"there is nothing at {path!r}: /openapi.json lists what there is"
        case 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            return f"{request.method} is not possible at {path!r}: use {allowed}"
        case _:
            return str(error.detail)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
    if first["type"] == "json_invalid":
        detail = "the body is not valid JSON: send one JSON object"
    elif not where:
        detail = "the body is not a JSON object: send one, with Content-Type: application/json"
    else:
        detail = f"{where} is not valid: {first['msg']}"
    return error_response(request.url.path, 422, detail, param=where)


async def _on_room_error(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    headers = {"Retry-After": "1"} if status == 503 else None
    return error_response(request.url.path, status, str(error), headers)


async def _on_unexpected(request: Request, _: Exception) -> Response:
    # Starlette logs the traceback; the caller learns nothing of the inside.
    detail = "something failed inside Understudy: see the server's log"
    return error_response(request.url.path, 500, detail)
