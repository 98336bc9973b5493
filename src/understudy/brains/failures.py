"""What went wrong with a provider, told as one sentence and one kind of error.

Owns the reading of statuses, headers and error bodies of model providers. Does not own how they
are reached (`http_transport`, `sdk_transport`) nor what is done about a failure (`router`).

Nothing a provider says reaches a message unless it is of use and cannot hold a key: OpenAI, for
one, repeats a part of a wrong key in its answer.
"""

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from understudy.brains.base import BrainError, ErrorKind

CONNECT_SECONDS = 5.0
"""Longest wait for a connection."""

_MAX_DETAIL = 200
_KEY_LIKE = re.compile(r"\b(?:sk|pk|hf|gsk|nvapi|xai|key)[-_][\w*.-]{6,}", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context (?:length|window|size|limit)"
    r"|prompt is too long|context the overflows|request_too_large",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model_not_found|not_found_error|\bmodel\b.{0,200}\b(?:not found|does not exist|not exist)",
    re.IGNORECASE | re.DOTALL,
)
_NO_CREDIT = re.compile(r"insufficient_quota|billing|credit balance", re.IGNORECASE)
_NO_KEY = re.compile(r"authentication_error|permission_error|invalid_api_key")
_BUSY = re.compile(r"rate_limit|overloaded|too_many_requests", re.IGNORECASE)
_BUSY_STATUSES = frozenset({408, 409, 429, 529})


class ProviderError(msgspec.Struct, frozen=True):
    """An error as a provider words it; `code` holds its type and code."""

    message: str = ""
    code: str = ""


class Failures:
    """Puts the failures of one provider into words.

    `title` names the provider in a sentence, `model` what was asked for, `key_setting` where its
    key is set and `url` where it is; `secret` never gets into a message. `local` says that the
    URL comes from the settings.
    """

    def __init__(
        self, title: str, model: str, key_setting: str, url: str, *, secret: str = "", local: bool
    ) -> None:
        self.title = title
        self.model = model
        self._key_setting = key_setting
        self._url = public_url(url)
        self._secret = secret
        self._local = local

    def rejected(self, status: int, headers: Mapping[str, str], body: bytes) -> BrainError:
        """An answer that is no stream: an error status, or a 200 with something else in it."""
        return self._explain(read_error(body), status, retry_after(headers))

    def reported(self, error: Any) -> BrainError:
        """An error that came in the stream; `error` is the decoded event."""
        return self._explain(_find_error(error), 200, None)

    def unreachable(self) -> BrainError:
        """No connection came about."""
        check = "that it runs and brain.base_url" if self._local else "the internet connection"
        message = f"{self.title} cannot be reached at {self._url}: check {check}"
        return BrainError(message, kind="unavailable")

    def hung_up(self) -> BrainError:
        """The connection was closed before an answer began."""
        message = f"{self.title} closed the connection without an answer: try again"
        return BrainError(message, kind="unavailable")

    def silent(self, seconds: float) -> BrainError:
        """Nothing came for `seconds`."""
        message = f"{self.title} said nothing for {seconds:g} s: try again"
        return BrainError(message, kind="timeout")

    def broke_off(self) -> BrainError:
        """The answer has no end."""
        message = f"{self.title} broke off in the middle of its answer: try again"
        return BrainError(message, kind="broken")

    def unreadable(self) -> BrainError:
        """What came is no answer."""
        message = f"{self.title} sent something that is no answer{self._check_url()}: try again"
        return BrainError(message, kind="broken")

    def _explain(
        self, error: ProviderError, status: int, retry_seconds: float | None
    ) -> BrainError:
        kind, sentence = self._judge(error, status, retry_seconds)
        return BrainError(sentence, kind=kind, retry_after=retry_seconds)

    def _judge(
        self, error: ProviderError, status: int, retry_seconds: float | None
    ) -> tuple[ErrorKind, str]:
        said = f"{error.code} {error.message}"
        busy = status in _BUSY_STATUSES or _BUSY.search(error.code)
        if status == 402 or _NO_CREDIT.search(said):
            remedy = "add some or choose another brain"
            return "unauthorized", f"{self.title} says the account has no credit left: {remedy}"
        if not busy and _TOO_LONG.search(said):
            remedy = "lower brain.context_tokens"
            return "context_too_long", f"the conversation is too long for {self.model}: {remedy}"
        if status == 404 or (not busy and _NO_MODEL.search(said)):
            return "unknown_model", self._no_model()
        if status in (401, 403) or _NO_KEY.search(error.code):
            return "unauthorized", self._no_access(status)
        if busy:
            later = f"in {math.ceil(retry_seconds)} s" if retry_seconds else "in a moment"
            return "overloaded", f"{self.title} is too busy: try again {later}"
        return self._other(error, status)

    def _other(self, error: ProviderError, status: int) -> tuple[ErrorKind, str]:
        if status >= 500:
            # A server of one's own is where its message helps.
            detail = self._detail(error) if self._local else ""
            fault = f"has a fault (status {status}){detail}"
            return "unavailable", f"{self.title} {fault}: try again later"
        detail = self._detail(error)
        if status >= 300:
            remedy = f"check brain.model{' and brain.base_url' if self._local else ''}"
            detail = detail or f" (status {status})"
            return "refused", f"{self.title} does not accept the request{detail}: {remedy}"
        sentence = f"{self.title} sent something else than an answer{detail}{self._check_url()}"
        return "broken", f"{sentence}: try again"

    def _no_model(self) -> str:
        where = " and brain.base_url" if self._local else ""
        return f"{self.title} has no model '{self.model}': check brain.model{where}"

    def _no_access(self, status: int) -> str:
        if status == 403:
            what = f"does not let this key use {self.model}"
            return f"{self.title} {what}: check {self._key_setting} and brain.model"
        return f"{self.title} does not accept the key: check {self._key_setting}"

    def _check_url(self) -> str:
        return " (is brain.base_url right?)" if self._local else ""

    def _detail(self, error: ProviderError) -> str:
        """What the provider says, in brackets, on one line and without keys."""
        text = " ".join(error.message.split())
        if self._secret:
            text = text.replace(self._secret, "…")
        text = _KEY_LIKE.sub("…", text)[:_MAX_DETAIL].rstrip(" .:")
        return f" ({text})" if text else ""


def read_error(body: bytes) -> ProviderError:
    """The error in the body of an answer; empty when there is none to be read."""
    try:
        return _find_error(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ProviderError()


def _find_error(document: Any) -> ProviderError:
    """The error in any of the shapes that are in use.

    `{"error": {"message", "type", "code"}}` (OpenAI, Anthropic, llama.cpp), `{"error": "…"}`
    (Ollama, LM Studio), `{"object": "error", "message", …}` (vLLM), `{"detail": "…"}` (NVIDIA and
    anything on FastAPI).
    """
    if not isinstance(document, dict):
        return ProviderError()
    fields = cast(dict[str, Any], document)
    inner = fields.get("error")
    if isinstance(inner, str):
        return ProviderError(inner)
    if isinstance(inner, dict):
        fields = cast(dict[str, Any], inner)
    message = fields.get("message") or fields.get("detail") or ""
    codes = (fields.get("type"), fields.get("code"))
    code = " ".join(value for value in codes if isinstance(value, str))
    return ProviderError(message if isinstance(message, str) else "", code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a provider asks to be left alone, from any of the headers in use."""
    if milliseconds := headers.get("retry-after-ms"):
        return _seconds(milliseconds, 0.001)
    value = headers.get("retry-after")
    if not value:
        return None
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _seconds(text: str, unit: float = 1.0) -> float | None:
    try:
        seconds = float(text) * unit
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def public_url(url: str) -> str:
    """`url` without user, password, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
