"""What a moderator may do in Twitch's chat.

Owns the check of what the login allows and the names people use. Does not own the calls (`helix`)
nor the decision to make them.
"""

from understudy.sources.twitch import scopes
from understudy.sources.twitch.auth import TwitchAuth
from understudy.sources.twitch.errors import Refused
from understudy.sources.twitch.helix import Helix
from understudy.sources.twitch.user_ids import UserIds

LONGEST_TIMEOUT_SECONDS = 1_209_600
MAX_REASON_CHARS = 500


class ChatModerator:
    """Acts as the account of `auth`, which must be a moderator of the channel or its owner.

    Channels and viewers are named by login. All methods raise `NotLoggedIn`, `MissingScope`, or
    another `TwitchError` with Twitch's own words.
    """

    def __init__(self, helix: Helix, auth: TwitchAuth) -> None:
        self._helix = helix
        self._auth = auth
        self._user_ids = UserIds(helix)

    async def delete(self, channel: str, message_id: str) -> None:
        """Remove one message; one that is gone already is fine."""
        login = self._auth.require(scopes.DELETE_MESSAGES, "delete messages")
        number = await self._user_ids.one(channel)
        try:
            await self._helix.delete_message(number, login.user_id, message_id)
        except Refused as error:
            if error.status != 404:
                raise

    async def timeout(self, channel: str, viewer: str, seconds: int, reason: str = "") -> None:
        """Keep a viewer quiet for `seconds`, from 1 s to two weeks."""
        await self._keep_out(channel, viewer, min(max(seconds, 1), LONGEST_TIMEOUT_SECONDS), reason)

    async def ban(self, channel: str, viewer: str, reason: str = "") -> None:
        """Keep a viewer out until somebody lets them in again."""
        await self._keep_out(channel, viewer, None, reason)

    async def _keep_out(self, channel: str, viewer: str, seconds: int | None, reason: str) -> None:
        login = self._auth.require(scopes.BAN, "time viewers out or ban them")
        number, target = await self._user_ids.one(channel), await self._user_ids.one(viewer)
        shortened = reason[:MAX_REASON_CHARS]
        await self._helix.ban(number, login.user_id, target, seconds=seconds, reason=shortened)
