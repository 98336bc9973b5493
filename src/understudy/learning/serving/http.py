"""Requests to a model server that loads versions, and what can go wrong with them.

Owns one HTTP client per server and the sentences for its failures. Does not own what is asked
(`vllm`, `ollama`).
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from understudy.brains.failures import public_url
from understudy.learning.versions.errors import VersionError

CONNECT_SECONDS = 5.0
LOAD_SECONDS = 300.0
"""Longest wait for an answer: loading or building a version reads gigabytes."""
_SAID_CHARS = 300


class ModelServer:
    """The server at `url`, called `name` in errors. Closed by `aclose` or `async with`."""

    def __init__(self, name: str, url: str, api_key: str = "") -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.name = f"{name} at {public_url(url)}"
        self._http = httpx2.AsyncClient(
            base_url=url.rstrip("/"),
            headers=headers,
            timeout=httpx2.Timeout(LOAD_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
        )

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        content: Any = None,
        fine: frozenset[int] = frozenset(),
    ) -> tuple[int, bytes]:
        """The status and body of the answer; statuses from 400 on raise `VersionError` …

        … unless they are in `fine`. `content` is sent as it is, in place of a JSON `body`.
        """
        data = msgspec.json.encode(body) if body is not None else content
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            answer = await self._http.request(method, path, content=data, headers=headers)
        except httpx2.TimeoutException:
            raise VersionError(f"{self.name} does not answer: look at its log") from None
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise VersionError(
                f"{self.name} cannot be reached ({why}): start it or correct its address"
            ) from None
        if answer.status_code >= 400 and answer.status_code not in fine:
            raise VersionError(
                f"{self.name} refused {method} {path} ({answer.status_code}: "
                f"{_said(answer.content)})"
            )
        return answer.status_code, answer.content

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _said(body: bytes) -> str:
    """The server's own words, as one line."""
    text = " ".join(body.decode("utf-8", "replace").split())
    try:
        said: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return text[:_SAID_CHARS] or "it said nothing"
    for key in ("message", "error", "detail"):
        while isinstance(said, dict) and key in said:
            said = said[key]  # pyright: ignore[reportUnknownVariableType]
    return said[:_SAID_CHARS] if isinstance(said, str) else text[:_SAID_CHARS]
