"""The calls to Twitch's login server (`id.twitch.tv`) that a public client needs.

Owns the requests and the shapes of their answers. Does not own when they are made (`device_login`,
`auth`). A public client has no secret, so none is ever sent.

https://dev.twitch.tv/docs/authentication
"""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from understudy.sources.twitch.errors import Refused
from understudy.sources.twitch.http import Answer, Sleep, TwitchHttp

T = TypeVar("T")


class DeviceCode(msgspec.Struct, frozen=True):
    """A login that waits for its user, who enters `user_code` at `verification_uri`.

    `interval` and `expires_in` are seconds. `device_code` is a secret and stays out of the
    representation.
    """

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: float
    interval: float = 5.0
    scopes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"DeviceCode(user_code={self.user_code!r})"


class Grant(msgspec.Struct, frozen=True):
    """Fresh tokens; `expires_in` is seconds from now."""

    access_token: str
    refresh_token: str = ""
    expires_in: float = 0.0

    def __repr__(self) -> str:
        return f"Grant(expires_in={self.expires_in!r})"


class Validation(msgspec.Struct, frozen=True):
    """Whom an access token belongs to; `expires_in` is seconds from now."""

    login: str
    user_id: str
    scopes: list[str] | None = None
    expires_in: float = 0.0


class IdApi:
    """Asks the login server at `id_url` in the name of the app `client_id`."""

    def __init__(self, id_url: str, client_id: str, *, sleep: Sleep = asyncio.sleep) -> None:
        self.client_id = client_id
        self._http = TwitchHttp(id_url, "twitch.id_url", sleep=sleep)

    async def device_code(self, scopes: Sequence[str]) -> DeviceCode:
        """Begin a login that asks for `scopes`; raises `Refused` or `Unreachable`."""
        form = {"client_id": self.client_id, "scopes": " ".join(scopes)}
        answer = await self._http.request("POST", "/oauth2/device", form=form)
        code = self._read(answer, DeviceCode, "begin a login (check twitch.client_id)")
        return msgspec.structs.replace(code, scopes=tuple(scopes))

    async def exchange(self, code: DeviceCode) -> Grant:
        """The tokens of a login whose user has agreed.

        Raises `Refused`, whose `said` tells whether to go on asking, or `Unreachable`.
        """
        form = {
            "client_id": self.client_id,
            "scopes": " ".join(code.scopes),
            "device_code": code.device_code,
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        }
        answer = await self._http.request("POST", "/oauth2/token", form=form)
        return self._read(answer, Grant, "complete the login")

    async def refresh(self, refresh_token: str) -> Grant:
        """New tokens for old ones; a refresh token works once. Raises as `exchange` does."""
        form = {
            "client_id": self.client_id,
            "refresh_token": refresh_token,
            "grant_type": "refresh_token",
        }
        answer = await self._http.request("POST", "/oauth2/token", form=form)
        return self._read(answer, Grant, "renew the login")

    async def validate(self, access_token: str) -> Validation | None:
        """Whom the token belongs to, or None when it is not valid; raises as `exchange` does."""
        headers = {"Authorization": f"OAuth {access_token}"}
        answer = await self._http.request("GET", "/oauth2/validate", headers=headers)
        return None if answer.status == 401 else self._read(answer, Validation, "check the login")

    async def revoke(self, access_token: str) -> None:
        """Make the token worthless; one that is so already is fine. Raises `Unreachable`."""
        form = {"client_id": self.client_id, "token": access_token}
        await self._http.request("POST", "/oauth2/revoke", form=form)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    def _read(self, answer: Answer, kind: type[T], what: str) -> T:
        if answer.status == 200:
            return answer.read(kind)
        detail = f" ({answer.said})" if answer.said else f" (status {answer.status})"
        sentence = f"Twitch does not {what}{detail}: try again later"
        raise Refused(sentence, answer.status, answer.said)
