"""Logging in to Twitch and out of it, as somebody does who sits before the web app.

Owns the one login that may be under way and what became of the last. Does not own the login that
was made (`auth`) nor the wait for its user (`device_login`).
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from understudy.sources.twitch.auth import Login, TwitchAuth
from understudy.sources.twitch.errors import TwitchError, Unreachable
from understudy.sources.twitch.id_api import DeviceCode

logger = logging.getLogger(__name__)

_BROKEN = "the Twitch login failed inside Understudy: see the server's log"
_STILL_VALID = (
    "the login is forgotten here, but Twitch could not be told: "
    "disconnect Understudy at twitch.tv/settings/connections"
)


class PendingLogin(msgspec.Struct, frozen=True):
    """A login that waits for its user to enter `user_code`; `until` is a time of the clock, s."""

    user_code: str
    verification_uri: str
    until: float


class TwitchLogin:
    """One login at a time with the app of `auth`. `clock` gives seconds and never goes back.

    `failure` says in one sentence what went wrong with the last attempt, if anything.
    """

    def __init__(self, auth: TwitchAuth, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._auth = auth
        self._clock = clock
        self._changing = asyncio.Lock()
        self._pending: PendingLogin | None = None
        self._task: asyncio.Task[None] | None = None
        self.failure = ""

    @property
    def account(self) -> Login | None:
        """Who is logged in, or None."""
        return self._auth.login

    @property
    def pending(self) -> PendingLogin | None:
        """The login that waits for its user, or None."""
        return self._pending

    def seconds_left(self, pending: PendingLogin) -> int:
        """How long its code can still be entered."""
        return max(0, int(pending.until - self._clock()))

    def problems(self) -> list[str]:
        """What is wrong with the login that was made, one sentence each."""
        return self._auth.problems()

    async def begin(self) -> PendingLogin:
        """Begin a login, or find the one that waits already; raises `TwitchError`."""
        async with self._changing:
            if self._pending is None:
                code = await self._auth.begin_login()
                until = self._clock() + code.expires_in
                self._pending = PendingLogin(code.user_code, code.verification_uri, until)
                self.failure = ""
                self._task = asyncio.create_task(self._complete(code), name="twitch login")
            return self._pending

    async def end(self) -> None:
        """Give up the login that waits, and log out; raises `TwitchError`."""
        async with self._changing:
            await self.aclose()
            self.failure = ""
            try:
                await self._auth.log_out()
            except Unreachable:
                self.failure = _STILL_VALID

    async def aclose(self) -> None:
        """Give up the login that waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._pending = None

    async def _complete(self, code: DeviceCode) -> None:
        try:
            login = await self._auth.complete_login(code)
        except TwitchError as error:
            self.failure = str(error)
            logger.warning("%s", error)
        except Exception:
            self.failure = _BROKEN
            logger.exception("the Twitch login failed")
        else:
            logger.info("logged in to Twitch as %s", login.login)
        self._pending = None
