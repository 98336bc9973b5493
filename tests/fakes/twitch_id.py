"""Twitch's login server (`id.twitch.tv`) for a public client, over a real socket.

    async with TwitchIdServer() as server:
        api = IdApi(server.origin, CLIENT_ID)
        ...
        server.approve(ANA)         # the user enters the code
        server.revoke(ANA)          # the user disconnects the app

Speaks `/oauth2/device`, `/oauth2/token`, `/oauth2/validate` and `/oauth2/revoke` as documented at
dev.twitch.tv/docs/authentication. Refresh tokens of a public client work once. A `client_secret`
is refused: a public client has none.
"""

import asyncio
from collections import deque
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tests.fakes.http_server import Exchange, HttpServer

CLIENT_ID = "understudy-test-client"
ACCESS_SECONDS = 14_400
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Account(msgspec.Struct, frozen=True):
    """A user of Twitch and what a login of theirs allows."""

    login: str
    user_id: str
    scopes: tuple[str, ...] = ()


class TwitchServer(HttpServer):
    """What the HTTP servers of Twitch have in common: JSON, and faults to order.

    Each of `faults` is the whole answer to one request: status, headers and message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.faults: deque[tuple[int, dict[str, str], str]] = deque()

    async def answer(self, exchange: Exchange) -> None:
        if self.faults:
            status, headers, message = self.faults.popleft()
            reply(exchange, status, {"status": status, "message": message}, headers)
        else:
            await self.serve(exchange)

    async def serve(self, exchange: Exchange) -> None:
        raise NotImplementedError


class TwitchIdServer(TwitchServer):
    """Hands out tokens. `refreshes` counts renewals that worked; `hold` delays them until set.

    A code for a login holds for `code_seconds` and may be asked about every `interval` seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.access: dict[str, Account] = {}
        self.refresh: dict[str, Account] = {}
        self.refreshes = 0
        self.interval: float = 5
        self.code_seconds: float = 1800
        self.codes = 0
        self.hold: asyncio.Event | None = None
        self.client_secret_wanted = False
        self.answers: deque[str] = deque()
        """Messages for the next polls of a device code, before anything else is said."""
        self._approved: Account | None = None
        self._code = ""
        self._count = 0

    def approve(self, account: Account) -> None:
        """The user enters the code and agrees."""
        self._approved = account

    def grant(self, account: Account) -> dict[str, Any]:
        """Fresh tokens of `account`, as they go over the wire."""
        self._count += 1
        access, refresh = f"access-{self._count}", f"refresh-{self._count}"
        self.access[access] = self.refresh[refresh] = account
        return {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": ACCESS_SECONDS,
            "scope": list(account.scopes),
            "token_type": "bearer",
        }

    def expire(self) -> None:
        """All access tokens run out; they can be renewed."""
        self.access.clear()

    def revoke(self) -> None:
        """The user disconnects the app: nothing works any more."""
        self.access.clear()
        self.refresh.clear()

    async def serve(self, exchange: Exchange) -> None:
        form = {name: v[0] for name, v in parse_qs(exchange.request.body.decode()).items()}
        match exchange.request.path:
            case "/oauth2/validate":
                self._validate(exchange)
            case _ if form.get("client_id") != CLIENT_ID or "client_secret" in form:
                refuse(exchange, 400, "invalid client")
            case "/oauth2/device":
                self._begin(exchange, form)
            case "/oauth2/token" if form.get("grant_type") == DEVICE_GRANT:
                self._exchange(exchange, form)
            case "/oauth2/token":
                await self._refresh(exchange, form)
            case "/oauth2/revoke":
                self.access.pop(form.get("token", ""), None)
                reply(exchange, 200, {})
            case _:
                refuse(exchange, 404, "not found")

    def _validate(self, exchange: Exchange) -> None:
        token = exchange.request.headers.get("authorization", "").removeprefix("OAuth ")
        account = self.access.get(token)
        if account is None:
            refuse(exchange, 401, "invalid access token")
            return
        whose = {"login": account.login, "user_id": account.user_id, "client_id": CLIENT_ID}
        # A token without scopes has null here.
        scopes = list(account.scopes) or None
        reply(exchange, 200, {**whose, "scopes": scopes, "expires_in": ACCESS_SECONDS})

    def _begin(self, exchange: Exchange, form: dict[str, str]) -> None:
        if "scopes" not in form:
            refuse(exchange, 400, "missing scopes")
            return
        self._code = "device-code-secret"
        self.codes += 1
        begun = {"device_code": self._code, "user_code": "ABCDEFGH"}
        times = {"expires_in": self.code_seconds, "interval": self.interval}
        where = "https://www.twitch.tv/activate?device-code=ABCDEFGH"
        reply(exchange, 200, {**begun, **times, "verification_uri": where})

    def _exchange(self, exchange: Exchange, form: dict[str, str]) -> None:
        if self.answers:
            refuse(exchange, 400, self.answers.popleft())
        elif not self._code or form.get("device_code") != self._code:
            refuse(exchange, 400, "invalid device code")
        elif self._approved is None:
            refuse(exchange, 400, "authorization_pending")
        else:
            self._code = ""
            reply(exchange, 200, self.grant(self._approved))

    async def _refresh(self, exchange: Exchange, form: dict[str, str]) -> None:
        if self.hold is not None:
            await self.hold.wait()
        account = self.refresh.pop(form.get("refresh_token", ""), None)
        if self.client_secret_wanted:
            refuse(exchange, 400, "missing client secret")
        elif account is None:
            refuse(exchange, 400, "Invalid refresh token")
        else:
            self.refreshes += 1
            reply(exchange, 200, self.grant(account))


def reply(
    exchange: Exchange, status: int, body: Any, headers: dict[str, str] | None = None
) -> None:
    """Answer with JSON; nothing at all for 204."""
    data = b"" if status == 204 else msgspec.json.encode(body)
    exchange.respond(status, data, headers or {}, content_type="application/json")


def refuse(exchange: Exchange, status: int, message: str) -> None:
    """Answer with an error as Twitch words it."""
    reply(exchange, status, {"status": status, "message": message})
