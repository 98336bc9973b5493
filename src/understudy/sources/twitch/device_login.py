"""The wait for a user who agrees to a login on another device.

Owns how often and how long Twitch is asked (RFC 8628, section 3.5). Does not own what becomes of
the tokens (`auth`).
"""

import logging
from collections.abc import Callable
from typing import Final

from understudy.sources.twitch.errors import LoginFailed, Refused, Unreachable
from understudy.sources.twitch.http import Sleep
from understudy.sources.twitch.id_api import DeviceCode, Grant, IdApi

logger = logging.getLogger(__name__)

SLOW_DOWN_SECONDS = 5.0
_DENIED: Final = frozenset({"access denied", "authorization declined", "authorization denied"})
_EXPIRED = "the code for the Twitch login has expired: begin the login again"


async def wait_for_grant(
    api: IdApi,
    code: DeviceCode,
    *,
    sleep: Sleep,
    clock: Callable[[], float],
) -> Grant:
    """Ask until the user has agreed; raises `LoginFailed` when that will not happen any more.

    `clock` gives seconds and never goes back. A Twitch that cannot be reached is asked again.
    """
    interval = code.interval
    until = clock() + code.expires_in
    while clock() + interval < until:
        await sleep(interval)
        try:
            return await api.exchange(code)
        except Unreachable as error:
            logger.warning("the Twitch login goes on: %s", error)
        except Refused as error:
            interval += _judge(error)
    raise LoginFailed(_EXPIRED)


def _judge(refused: Refused) -> float:
    """Seconds by which to ask more rarely; raises `LoginFailed` when asking has no sense."""
    # Twitch says "authorization_pending" but "invalid device code".
    said = refused.said.lower().replace("_", " ")
    if said == "authorization pending":
        return 0.0
    if said == "slow down" or refused.status == 429:
        return SLOW_DOWN_SECONDS
    if said in _DENIED:
        raise LoginFailed("the Twitch login was turned down: begin it again to allow it")
    if said in {"invalid device code", "expired token"}:
        raise LoginFailed(_EXPIRED)
    raise LoginFailed(f"{refused}") from None
