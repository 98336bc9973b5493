"""The account Understudy acts as on Twitch: logging in, staying logged in, and noticing the end.

Owns the tokens, their renewal and the hourly check that Twitch asks for. Does not own the calls
(`id_api`), the wait for the user (`device_login`) or the file (`token_file`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from understudy.sources.twitch.device_login import wait_for_grant
from understudy.sources.twitch.errors import (
    MissingScope,
    NotLoggedIn,
    Refused,
    TokenFileError,
    TwitchError,
    Unreachable,
)
from understudy.sources.twitch.http import Sleep
from understudy.sources.twitch.id_api import DeviceCode, Grant, IdApi, Validation
from understudy.sources.twitch.scopes import LOGIN_SCOPES
from understudy.sources.twitch.token_file import Token, TokenFile

logger = logging.getLogger(__name__)

VALIDATE_SECONDS = 3_600.0
"""Twitch wants every session checked hourly: dev.twitch.tv/docs/authentication/validate-tokens."""
VALIDATE_AGAIN_SECONDS = 60.0
"""After a check that did not reach Twitch."""
RENEW_EARLY_SECONDS = 60.0

_ANONYMOUS = "nobody is logged in to Twitch, so the chat can only be read: log in first"
_OVER = "the Twitch login has expired or was revoked: log in to Twitch again"
_CONFIDENTIAL = (
    "the Twitch app of twitch.client_id is not a public client, so its logins cannot be renewed: "
    "change its type at dev.twitch.tv/console and log in again"
)


class Login(msgspec.Struct, frozen=True):
    """Who is logged in, and what that login allows."""

    login: str
    user_id: str
    scopes: frozenset[str]

    def require(self, scope: str, what: str) -> None:
        """Raise `MissingScope` when `scope`, which `what` needs, was not granted."""
        if scope not in self.scopes:
            raise MissingScope(
                f"the Twitch login of {self.login} does not allow to {what} ({scope}): "
                "log in to Twitch again and allow it"
            )


class TwitchAuth:
    """The login of one account with the app `client_id`, kept in `token_file`.

    `clock` is the wall clock in seconds. It only decides when a token is renewed early: one that
    is refused is renewed whatever the time, so a clock that jumps does no harm. `monotonic`, which
    never goes back, tells how long a user may take to agree.
    """

    def __init__(
        self,
        id_url: str,
        client_id: str,
        token_file: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._api = IdApi(id_url, client_id, sleep=sleep)
        self._file = TokenFile(token_file)
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._token: Token | None = None
        self._login: Login | None = None
        self._problem = ""
        self._changed = asyncio.Event()
        self._renewal: asyncio.Task[str] | None = None
        self._validation: asyncio.Task[None] | None = None

    @property
    def client_id(self) -> str:
        """The app in whose name everything is asked."""
        return self._api.client_id

    @property
    def login(self) -> Login | None:
        """Who is logged in, or None."""
        return self._login

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each."""
        return [self._problem] if self._problem else []

    async def start(self) -> None:
        """Take up the stored login, if there is one, and begin to check it every hour."""
        try:
            token = await self._file.read()
        except TokenFileError as error:
            self._tell(str(error))
            token = None
        if token is not None and token.client_id != self.client_id:
            self._tell("the stored Twitch login is of another twitch.client_id: log in again")
            token = None
        if token is not None:
            self._take(token)
        self._validation = asyncio.create_task(self._keep_valid(), name="twitch validation")

    async def aclose(self) -> None:
        """Stop checking; a renewal under way is completed, since its old token is used up."""
        if self._validation is not None:
            self._validation.cancel()
            await asyncio.gather(self._validation, return_exceptions=True)
        if self._renewal is not None:
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self._api.aclose()

    async def begin_login(self, scopes: Sequence[str] = LOGIN_SCOPES) -> DeviceCode:
        """A code to show to the user; raises `TwitchError`."""
        if not self.client_id:
            raise NotLoggedIn("twitch.client_id is not set: register a public client app with it")
        return await self._api.device_code(scopes)

    async def complete_login(self, code: DeviceCode) -> Login:
        """Wait until the user has agreed, and store the login; raises `TwitchError`."""
        grant = await wait_for_grant(self._api, code, sleep=self._sleep, clock=self._monotonic)
        return await self._identify(self._token_of(grant, Token(self.client_id, "", "", 0.0)))

    async def log_out(self) -> None:
        """Forget the login and make its token worthless; raises `TwitchError`."""
        token = self._token
        self._forget("")
        try:
            await self._file.remove()
        finally:
            if token is not None:
                await self._api.revoke(token.access_token)

    def require(self, scope: str, what: str) -> Login:
        """Who is logged in; raises `NotLoggedIn` or `MissingScope` when `what` is not allowed."""
        if self._login is None:
            raise NotLoggedIn(self._problem or _ANONYMOUS)
        self._login.require(scope, what)
        return self._login

    async def access_token(self) -> str:
        """A token that is good for a while; raises `NotLoggedIn` or `Unreachable`."""
        token = self._current()
        left = token.expires_at - self._clock()
        if left > RENEW_EARLY_SECONDS:
            return token.access_token
        try:
            return await self.renewed(token.access_token)
        except Unreachable:
            if left > 0:
                return token.access_token
            raise

    async def renewed(self, stale: str) -> str:
        """A token other than `stale`, which Twitch refused; all who ask at once share one renewal.

        Raises `NotLoggedIn` when the login is over for good, else `Unreachable`.
        """
        token = self._current()
        if token.access_token != stale:
            return token.access_token
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(token), name="twitch token renewal")
            self._renewal.add_done_callback(self._renewal_done)
        # Who gives up waiting must not stop it: the old refresh token is used up by then.
        return await asyncio.shield(self._renewal)

    async def validate(self) -> Login:
        """Ask Twitch who is logged in; raises `NotLoggedIn` when the login is over."""
        token = self._current()
        validation = await self._api.validate(token.access_token)
        if validation is None:
            await self.renewed(token.access_token)
            token = self._current()
            validation = await self._api.validate(token.access_token)
        if validation is None:
            raise await self._end(token, _OVER)
        if self._holds(token):
            self._take(_identified(token, validation))
        return self._known()

    async def changed(self, known: Login | None) -> Login | None:
        """Who is logged in, as soon as that is something else than `known`."""
        while self._login == known:
            await self._changed.wait()
        return self._login

    async def _identify(self, token: Token) -> Login:
        """Take `token` once Twitch has said whose it is, and store it."""
        validation = await self._api.validate(token.access_token)
        if validation is None:
            raise NotLoggedIn("Twitch does not accept the login it has just given: log in again")
        self._take(_identified(token, validation))
        await self._store()
        return self._known()

    async def _keep_valid(self) -> None:
        while True:
            wait = VALIDATE_SECONDS
            if self._token is not None:
                try:
                    await self.validate()
                except NotLoggedIn as error:
                    logger.warning("%s", error)
                except TwitchError as error:
                    logger.warning("the Twitch login was not checked: %s", error)
                    wait = VALIDATE_AGAIN_SECONDS
            await self._sleep(wait)

    async def _renew(self, token: Token) -> str:
        if (stored := await self._stored_by_another(token)) is not None:
            self._take(stored)
            return stored.access_token
        try:
            grant = await self._api.refresh(token.refresh_token)
        except Refused as error:
            confidential = "client secret" in error.said.lower()
            raise await self._end(token, _CONFIDENTIAL if confidential else _OVER) from None
        if self._holds(token):
            self._take(self._token_of(grant, token))
            await self._store()
        return self._current().access_token

    async def _stored_by_another(self, token: Token) -> Token | None:
        """What another process has stored since: its refresh token works, ours no longer does."""
        try:
            stored = await self._file.read()
        except TokenFileError:
            return None
        if stored is None or stored.refresh_token == token.refresh_token:
            return None
        return stored if stored.client_id == self.client_id else None

    def _renewal_done(self, task: asyncio.Task[str]) -> None:
        self._renewal = None
        if not task.cancelled():
            # Retrieved here too, in case nobody waits for it any more.
            task.exception()

    def _token_of(self, grant: Grant, before: Token) -> Token:
        return msgspec.structs.replace(
            before,
            access_token=grant.access_token,
            refresh_token=grant.refresh_token or before.refresh_token,
            expires_at=self._clock() + grant.expires_in,
        )

    def _take(self, token: Token) -> None:
        self._token, self._problem = token, ""
        self._set(Login(token.login, token.user_id, frozenset(token.scopes)))

    def _set(self, login: Login | None) -> None:
        if login == self._login:
            return
        self._login = login
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _store(self) -> None:
        try:
            await self._file.write(self._current())
        except TokenFileError as error:
            self._tell(str(error))

    async def _end(self, token: Token, sentence: str) -> NotLoggedIn:
        """The error to raise; the login is forgotten unless there is a newer one by now."""
        if self._holds(token):
            self._forget(sentence)
            try:
                await self._file.remove()
            except TokenFileError as error:
                logger.warning("%s", error)
        return NotLoggedIn(sentence)

    def _forget(self, problem: str) -> None:
        self._token, self._problem = None, problem
        self._set(None)

    def _tell(self, problem: str) -> None:
        self._problem = problem
        logger.warning("%s", problem)

    def _holds(self, token: Token) -> bool:
        """Whether nobody logged in or out since `token` was taken."""
        return self._token is not None and self._token.access_token == token.access_token

    def _current(self) -> Token:
        if self._token is None:
            raise NotLoggedIn(self._problem or _ANONYMOUS)
        return self._token

    def _known(self) -> Login:
        if self._login is None:
            raise NotLoggedIn(self._problem or _ANONYMOUS)
        return self._login


def _identified(token: Token, validation: Validation) -> Token:
    return msgspec.structs.replace(
        token,
        login=validation.login,
        user_id=validation.user_id,
        scopes=tuple(sorted(validation.scopes or ())),
    )
