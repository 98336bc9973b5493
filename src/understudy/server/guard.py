"""What every request passes first: sizes, rates, and where it comes from. Pure ASGI.

Owns the checks that need no route: the body limit, the limit per address, the count of answers,
and, while auth is off, that a request really comes from this machine's own pages. Does not own
tokens (`auth`).
"""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.config import Settings
from understudy.safety.limits import RateLimiter
from understudy.server.metrics import Metrics
from understudy.server.problems import error_response

LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_METHODS = _SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}
_HOST = re.compile(r"^(\[[0-9a-fA-F:]+\]|[^:]+)(?::\d+)?$")


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
        if refusal is not None:
            answer = error_response(scope["path"], *refusal)
        elif self._declares_too_much(scope):
            answer = error_response(scope["path"], 413, self._too_large(scope))
        else:
            answer = self._app
        await self._counted(answer, scope, self._limited(scope, receive), send)

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
        # A browser's page cannot see why a handshake failed, but it can read a close.
        status, reason, _ = refusal
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000 + status, "reason": reason[:120]})

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive`, which fails once a body without a declared length goes over the limit."""
        limit = self._body_limit(scope)
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                # Frameworks turn other errors of a body into their own answer.
                raise HTTPException(413, self._too_large(scope))
            return message

        return limited_receive

    def _declares_too_much(self, scope: Scope) -> bool:
        length = Headers(scope=scope).get("content-length", "0")
        return not length.isdecimal() or len(length) > 18 or int(length) > self._body_limit(scope)

    def _body_limit(self, scope: Scope) -> int:
        limit = self._settings.limits.body_bytes
        # Recordings are uploaded in larger pieces.
        return limit * 16 if scope["path"].endswith("/lines") else limit

    def _too_large(self, scope: Scope) -> str:
        # The connection stays open: closing it before the body has come would lose the answer.
        return f"the body is larger than {self._body_limit(scope)} bytes: send less at once"

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

    async def _counted(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run `app` and count its answer; one that breaks before it answers counts as a 500."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        started = False

        async def counting_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._metrics.requests.labels(method, str(message["status"])).inc()
            await send(message)

        try:
            await app(scope, receive, counting_send)
        except Exception:
            if not started:
                self._metrics.requests.labels(method, "500").inc()
            raise
