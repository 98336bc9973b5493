"""All of Twitch that an account meets, with a login that works: the servers and our clients."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.fakes.twitch_eventsub import TwitchEventSubServer
from tests.fakes.twitch_helix import TwitchHelixServer
from tests.fakes.twitch_id import CLIENT_ID, Account, TwitchIdServer
from tests.fakes.twitch_time import SteppedTime
from understudy.sources.twitch.auth import TwitchAuth
from understudy.sources.twitch.helix import Helix
from understudy.sources.twitch.scopes import LOGIN_SCOPES

OWNER = Account("understudy", "71092938", LOGIN_SCOPES)
USERS = {"understudy": "71092938", "ana": "1001", "ben": "1002"}


@dataclass
class Twitch:
    """The three servers, our login and our client, and the time they live in."""

    ids: TwitchIdServer
    api: TwitchHelixServer
    eventsub: TwitchEventSubServer
    auth: TwitchAuth
    helix: Helix
    time: SteppedTime
    token_file: Path


@asynccontextmanager
async def twitch(
    folder: Path,
    account: Account | None = OWNER,
    *,
    eventsub: TwitchEventSubServer | None = None,
) -> AsyncIterator[Twitch]:
    """Twitch with `account` logged in (None: nobody); logins are checked when time passes."""
    time, token_file = SteppedTime(), folder / "twitch.token"
    async with (
        TwitchIdServer() as ids,
        eventsub or TwitchEventSubServer() as events,
        TwitchHelixServer(ids, events) as api,
    ):
        api.users = dict(USERS)
        if account is not None:
            store(token_file, ids, account, time)
        auth = TwitchAuth(
            ids.origin, CLIENT_ID, token_file, clock=time, monotonic=time, sleep=time.sleep
        )
        helix = Helix(api.url, auth, clock=time, sleep=time.sleep)
        await auth.start()
        # The first check is over: no other comes before an hour.
        await time.asleep()
        try:
            yield Twitch(ids, api, events, auth, helix, time, token_file)
        finally:
            await helix.aclose()
            await auth.aclose()


def store(path: Path, ids: TwitchIdServer, account: Account, time: Callable[[], float]) -> None:
    """Put a login into the token file, as an earlier run left it."""
    grant = ids.grant(account)
    token = {
        "client_id": CLIENT_ID,
        "access_token": grant["access_token"],
        "refresh_token": grant["refresh_token"],
        "expires_at": time() + grant["expires_in"],
        "login": account.login,
        "user_id": account.user_id,
        "scopes": account.scopes,
    }
    path.write_bytes(msgspec.json.encode(token))
