"""What every request passes first: sizes, rates, and where it comes from. Pure ASGI.

Owns the checks that need no route: the body limit, the limit per address, the count of answers,
and, while auth is off, that a request really comes from this machine's own pages. Does not own
tokens (`auth`).
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.config import Settings
from understudy.safety.limits import RateLimiter
from understudy.server.metrics import Metrics
from understudy.server.problems import problem_response

LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_HOST = re.compile(r"^(\[[0-9a-fA-F:]+\]|[^:]+)(?::\d+)?$")


class BodyTooLarge(Exception):
    """The body went over the limit while it was read."""


class Guard:
    """Refuses requests that are too big, too many or from a foreign page."""

    def __init__(
        self, app: ASGIApp, settings: Settings, addresses: RateLimiter, metrics: Metrics
    ) -> None:
        self._app = app
        self._settings = settings
        self._addresses = addresses
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(scope)
        if scope["type"] == "websocket":
            await self._socket(refusal, scope, receive, send)
            return
        counted = self._counting(scope["method"], send)
        if refusal is not None:
            status, detail, headers = refusal
            await problem_response(status, detail, headers)(scope, receive, counted)
            return
        await self._limited(scope, receive, counted)

    async def _socket(
        self,
        refusal: tuple[int, str, dict[str, str]] | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if refusal is None:
            await self._app(scope, receive, send)
            return
        # Closing before accepting makes the handshake fail with 403.
        await send({"type": "websocket.close", "code": 4403, "reason": refusal[1][:120]})

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._settings.limits.body_bytes
        if scope["path"].endswith("/lines"):
            limit *= 16  # recordings are uploaded in larger pieces
        started = False
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise BodyTooLarge
            return message

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await self._too_large(limit)(scope, receive, send)
            return
        try:
            await self._app(scope, limited_receive, watched_send)
        except BodyTooLarge:
            if not started:
                await self._too_large(limit)(scope, receive, send)

    def _too_large(self, limit: int) -> ASGIApp:
        detail = f"the body is larger than {limit} bytes: send less at once"
        return problem_response(413, detail, {"Connection": "close"})

    def _refuse(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        headers = Headers(scope=scope)
        if not self._settings.auth_required and (detail := self._foreign(scope, headers)):
            return 403, detail, {}
        client = scope.get("client")
        wait = self._addresses.take(client[0] if client else "")
        if wait > 0:
            seconds = str(int(wait) + 1)
            return (
                429,
                f"too many requests from this address: wait {seconds} s",
                {"Retry-After": seconds},
            )
        return None

    def _foreign(self, scope: Scope, headers: Headers) -> str | None:
        """Why a request may not act as this machine's owner, None when it may.

        Without tokens the server trusts whoever can reach it. A page from elsewhere, open in a
        browser on this machine, can reach it too: by name (DNS rebinding) or with its own Origin.
        """
        host = headers.get("host", "")
        match = _HOST.match(host)
        name = match.group(1).lower() if match else ""
        if name not in LOOPBACK and name != self._settings.server.host:
            return f"host {name!r} is not this machine: use 127.0.0.1 or set auth.required"
        origin = headers.get("origin")
        safe = scope["type"] == "http" and scope["method"] in _SAFE_METHODS
        if origin is None or safe or origin in self._settings.server.cors_origins:
            return None
        if urlsplit(origin).netloc.lower() != host.lower():
            return f"pages of {origin} may not call this server: add it to server.cors_origins"
        return None

    def _counting(self, method: str, send: Send) -> Callable[[Message], Awaitable[None]]:
        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(method, str(message["status"])).inc()
            await send(message)

        return counting_send
