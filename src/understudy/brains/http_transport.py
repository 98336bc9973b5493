"""Requests to any URL by aiohttp: the lean way, without an SDK.

Owns the connections to one base URL and their timeouts. Does not own what is asked nor how the
answer is read.
"""

import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from understudy.brains.base import BrainError
from understudy.brains.failures import CONNECT_SECONDS, Failures, public_url
from understudy.brains.transport import KEEP_ALIVE_SECONDS, drain, explain, is_stream

if TYPE_CHECKING:
    import aiohttp

_ERROR_BYTES = 65_536


class HttpTransport:
    """Posts requests to `path` under `base_url`.

    `silence_seconds` is the longest wait for the next bytes. User and password in the URL are
    used when there is no `api_key`.
    """

    def __init__(
        self,
        base_url: str,
        path: str,
        failures: Failures,
        *,
        api_key: str = "",
        silence_seconds: float,
    ) -> None:
        import aiohttp

        self._aiohttp = aiohttp
        self._url = public_url(base_url)
        self._path = path
        self._failures = failures
        self._headers = {"Accept-Encoding": "identity", **_authorization(base_url, api_key)}
        self._silence_seconds = silence_seconds
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def send(self, payload: dict[str, Any]) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Send `payload` and give the answer's bytes as they come; raises `BrainError`."""
        body = msgspec.json.encode(payload)
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        async with self._request("POST", self._path, headers, body) as response:
            if not is_stream(response.status, response.headers.get("Content-Type", "")):
                raise await self._rejection(response)
            chunks = response.content.iter_any()
            yield chunks
            await drain(chunks)

    async def get(self, path: str) -> bytes:
        """The body of `path`; raises `BrainError`."""
        async with self._request("GET", path, {"Accept": "application/json"}, None) as response:
            if response.status != 200:
                raise await self._rejection(response)
            return await response.read()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> AsyncGenerator["aiohttp.ClientResponse", None]:
        """An answer that has begun; errors of aiohttp become `BrainError`."""
        session = self._open_session()
        begun = False
        try:
            async with session.request(
                method, self._url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                begun = True
                try:
                    yield response
                finally:
                    if not response.content.at_eof():
                        response.close()
        except (self._aiohttp.ClientError, TimeoutError) as error:
            raise explain(
                error, self._failures, begun=begun, silence_seconds=self._silence_seconds
            ) from None

    async def _rejection(self, response: "aiohttp.ClientResponse") -> BrainError:
        body = b""
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= _ERROR_BYTES:
                break
        return self._failures.rejected(response.status, response.headers, body)

    def _open_session(self) -> "aiohttp.ClientSession":
        # Not made in the constructor: a session belongs to the event loop that is running.
        if self._session is None:
            self._session = self._aiohttp.ClientSession(
                headers=self._headers,
                connector=self._aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
                timeout=self._aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=self._silence_seconds
                ),
                cookie_jar=self._aiohttp.DummyCookieJar(),
            )
        return self._session


def _authorization(base_url: str, api_key: str) -> dict[str, str]:
    if api_key:
        return {"Authorization": f"Bearer {api_key}"}
    parts = urlsplit(base_url)
    if not parts.username:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
