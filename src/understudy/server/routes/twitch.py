"""`/api/v1/twitch`: the account that is logged in to Twitch, and logging in and out.

Owns the routes. Does not own the login (`sources.twitch.login`).
"""

from fastapi import APIRouter, Response

from understudy.server.access import Owner, ServicesDep
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.sources.twitch.errors import TokenFileError, TwitchError, Unreachable
from understudy.sources.twitch.login import PendingLogin, TwitchLogin
from understudy.sources.twitch.scopes import ALLOWS

router = APIRouter(prefix="/api/v1/twitch", tags=["twitch"])

_NO_APP = (
    "twitch.client_id is not set: register a public app at dev.twitch.tv/console, "
    "set its id and start again"
)


@router.get("")
async def state(services: ServicesDep, _: Owner) -> dict[str, object]:
    """Who is logged in, what that allows, and the code of a login that waits for its user.

    `missing` names what was not granted, each with what it would allow; `failure` is what went
    wrong with the last attempt to log in or out, `problems` what is wrong with the login itself.
    """
    twitch = services.twitch
    account = twitch.account if twitch else None
    granted = account.scopes if account else frozenset[str]()
    return {
        "client_id_set": twitch is not None,
        "login": account.login if account else None,
        "scopes": sorted(granted),
        "missing": [
            {"scope": scope, "allows": allows}
            for scope, allows in ALLOWS.items()
            if scope not in granted
        ],
        "pending": _pending(twitch),
        "failure": twitch.failure if twitch else "",
        "problems": twitch.problems() if twitch else [],
        "channels": services.settings.twitch.channels,
        "send": services.settings.twitch.send,
    }


@router.post("/login")
async def log_in(services: ServicesDep, _: Owner) -> dict[str, object]:
    """Begin a login: its user enters `user_code` at `verification_uri` within `expires_in` s.

    While one waits, it is the one that is answered. `GET /api/v1/twitch` tells how it ends.
    """
    twitch = _twitch(services)
    try:
        return _describe(twitch, await twitch.begin())
    except Unreachable as error:
        raise Problem(502, str(error)) from None
    except TwitchError as error:
        raise Problem(422, str(error)) from None


@router.delete("/login", status_code=204)
async def log_out(services: ServicesDep, _: Owner) -> Response:
    """Give up a login that waits, and log out."""
    try:
        await _twitch(services).end()
    except TokenFileError as error:
        raise Problem(503, str(error)) from None
    return Response(status_code=204)


def _twitch(services: Services) -> TwitchLogin:
    if services.twitch is None:
        raise Problem(409, _NO_APP)
    return services.twitch


def _pending(twitch: TwitchLogin | None) -> dict[str, object] | None:
    pending = twitch.pending if twitch else None
    return _describe(twitch, pending) if twitch and pending else None


def _describe(twitch: TwitchLogin, pending: PendingLogin) -> dict[str, object]:
    return {
        "user_code": pending.user_code,
        "verification_uri": pending.verification_uri,
        "expires_in": twitch.seconds_left(pending),
    }
