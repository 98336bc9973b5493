"""The numbers of accounts, which Twitch's API wants where people say names.

Owns what was looked up lately. Does not own the look-up (`helix`).
"""

from collections.abc import Sequence

from understudy.sources.twitch.errors import Refused
from understudy.sources.twitch.helix import Helix

MAX_KNOWN = 4_096


class UserIds:
    """Looks each login up once; at most `MAX_KNOWN` are remembered, the oldest goes first."""

    def __init__(self, helix: Helix) -> None:
        self._helix = helix
        self._known: dict[str, str] = {}

    async def of(self, logins: Sequence[str]) -> dict[str, str]:
        """Login to number of those accounts that exist; raises `TwitchError`."""
        wanted = [login.lower() for login in logins]
        unknown = [login for login in wanted if login not in self._known]
        found = {user.login: user.id for user in await self._helix.users(unknown)}
        found |= {login: self._known[login] for login in wanted if login in self._known}
        self._known |= found
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return found

    async def one(self, login: str) -> str:
        """The number of one account; raises `Refused` when there is none, or `TwitchError`."""
        number = (await self.of([login])).get(login.lower())
        if number is None:
            raise Refused(f"Twitch knows no account named {login}: check the name", 404)
        return number
