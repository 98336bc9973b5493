"""The calls to Twitch's API (Helix) that Understudy has a use for.

Owns requests, answers and what is done about a refusal: a token is renewed once, a rate limit is
waited for. Does not own the login (`auth`) nor limits of our own (`sending`).

https://dev.twitch.tv/docs/api/reference
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import msgspec

from understudy.sources.twitch.auth import TwitchAuth
from understudy.sources.twitch.errors import MissingScope, RateLimited, Refused, TwitchError
from understudy.sources.twitch.http import Answer, Query, Sleep, TwitchHttp

T = TypeVar("T")

PATIENCE_SECONDS = 65.0
"""Longest wait for a rate limit; Twitch's own are over within a minute."""
RATE_LIMIT_WAITS = 2
PAGE = 100
"""Most names or entries in one request."""
MAX_PAGES = 20


class User(msgspec.Struct, frozen=True):
    """An account; `id` is its number, which most calls want."""

    id: str
    login: str
    display_name: str = ""


class Stream(msgspec.Struct, frozen=True):
    """A channel that is live; `started_at` is RFC 3339."""

    user_login: str
    title: str = ""
    game_name: str = ""
    viewer_count: int = 0
    started_at: str = ""


class DropReason(msgspec.Struct, frozen=True):
    """Why a message was accepted and still not shown."""

    code: str = ""
    message: str = ""


class SentMessage(msgspec.Struct, frozen=True):
    """What became of a chat message."""

    message_id: str = ""
    is_sent: bool = False
    drop_reason: DropReason | None = None


class EventSubscription(msgspec.Struct, frozen=True):
    """A subscription to EventSub as Twitch keeps it."""

    id: str
    type: str
    status: str = ""
    cost: int = 0


class ModeratedChannel(msgspec.Struct, frozen=True):
    """A channel in which the account is a moderator."""

    broadcaster_id: str
    broadcaster_login: str = ""


class _Cursor(msgspec.Struct):
    cursor: str = ""


class _Page(msgspec.Struct, Generic[T]):
    data: list[T]
    pagination: _Cursor | None = None


class Helix:
    """Asks Twitch's API at `helix_url` as the account of `auth`.

    All calls raise `TwitchError`: `NotLoggedIn`, `MissingScope`, `RateLimited`, `Unreachable`, or
    `Refused` with Twitch's own words. `clock` is the wall clock in seconds.
    """

    def __init__(
        self,
        helix_url: str,
        auth: TwitchAuth,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._http = TwitchHttp(helix_url, "twitch.helix_url", sleep=sleep)
        self._auth = auth
        self._clock = clock
        self._sleep = sleep

    async def users(self, logins: Sequence[str]) -> list[User]:
        """The accounts with these logins; one that does not exist is left out."""
        return await self._of_each("/users", "login", logins, User)

    async def streams(self, logins: Sequence[str]) -> list[Stream]:
        """The streams of those channels that are live."""
        return await self._of_each("/streams", "user_login", logins, Stream)

    async def moderated_channels(self, user_id: str) -> list[ModeratedChannel]:
        """Where the account is a moderator, besides its own channel."""
        return await self._pages(
            "/moderation/channels", [("user_id", user_id), ("first", str(PAGE))], ModeratedChannel
        )

    async def send_message(
        self, broadcaster_id: str, sender_id: str, text: str, reply_to: str = ""
    ) -> SentMessage:
        """Send `text` (at most 500 code points) to a chat, in reply to a message or not.

        After a fault it is tried again: Twitch shows the same text only once in 30 s.
        """
        message = {"broadcaster_id": broadcaster_id, "sender_id": sender_id, "message": text}
        if reply_to:
            message["reply_parent_message_id"] = reply_to
        answer = await self._ask("POST", "/chat/messages", json=message)
        return self._first(answer, SentMessage)

    async def delete_message(self, broadcaster_id: str, moderator_id: str, message_id: str) -> None:
        """Remove one message from a chat; one that is gone already is `Refused` with 404."""
        query = [*_room(broadcaster_id, moderator_id), ("message_id", message_id)]
        await self._ask("DELETE", "/moderation/chat", query)

    async def ban(
        self,
        broadcaster_id: str,
        moderator_id: str,
        user_id: str,
        *,
        seconds: int | None = None,
        reason: str = "",
    ) -> None:
        """Keep a viewer out of a chat for `seconds` (1 to 1,209,600), or for good."""
        act: dict[str, Any] = {"user_id": user_id, "reason": reason}
        if seconds is not None:
            act["duration"] = seconds
        query = _room(broadcaster_id, moderator_id)
        await self._ask("POST", "/moderation/bans", query, json={"data": act})

    async def subscribe(
        self, type_: str, version: str, condition: Mapping[str, str], session: str
    ) -> EventSubscription:
        """Subscribe the EventSub session to a type of event.

        One that stands already is `Refused` with 409.
        """
        wanted = {
            "type": type_,
            "version": version,
            "condition": dict(condition),
            "transport": {"method": "websocket", "session_id": session},
        }
        answer = await self._ask("POST", "/eventsub/subscriptions", json=wanted)
        return self._first(answer, EventSubscription)

    async def subscriptions(self) -> list[EventSubscription]:
        """All EventSub subscriptions of the account, ended ones too."""
        return await self._pages("/eventsub/subscriptions", [], EventSubscription)

    async def unsubscribe(self, subscription: str) -> None:
        """Delete the EventSub subscription with this id."""
        await self._ask("DELETE", "/eventsub/subscriptions", [("id", subscription)])

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def _of_each(self, path: str, name: str, values: Sequence[str], kind: type[T]) -> list[T]:
        found: list[T] = []
        for start in range(0, len(values), PAGE):
            query = [(name, value) for value in values[start : start + PAGE]]
            found += (await self._page(path, query, kind)).data
        return found

    async def _pages(self, path: str, query: Query, kind: type[T]) -> list[T]:
        found: list[T] = []
        after: list[tuple[str, str]] = []
        for _ in range(MAX_PAGES):
            page = await self._page(path, [*query, *after], kind)
            found += page.data
            if page.pagination is None or not page.pagination.cursor:
                break
            after = [("after", page.pagination.cursor)]
        return found

    async def _page(self, path: str, query: Query, kind: type[T]) -> _Page[T]:
        return (await self._ask("GET", path, query)).read(_Page[kind])

    def _first(self, answer: Answer, kind: type[T]) -> T:
        data = answer.read(_Page[kind]).data
        if not data:
            raise Refused("Twitch answered with nothing: try again later", answer.status)
        return data[0]

    async def _ask(self, method: str, path: str, query: Query = (), *, json: Any = None) -> Answer:
        """A successful answer; a token is renewed once, and a rate limit waited for."""
        token = await self._auth.access_token()
        renewed, waits = False, 0
        while True:
            answer = await self._http.request(
                method, path, headers=self._headers(token), query=query, json=json
            )
            if answer.status == 401 and not renewed and "scope" not in answer.said.lower():
                token, renewed = await self._auth.renewed(token), True
            elif (wait := self._pause(answer)) is not None and waits < RATE_LIMIT_WAITS:
                await self._sleep(wait)
                waits += 1
            elif answer.status < 300:
                return answer
            else:
                raise _failure(answer)

    def _headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}", "Client-Id": self._auth.client_id}

    def _pause(self, answer: Answer) -> float | None:
        """Seconds until a rate limit is over; None when there is none or it lasts too long."""
        # With requests left, 429 means something else: too many subscriptions, for one.
        if answer.status != 429 or answer.headers.get("Ratelimit-Remaining", "0") != "0":
            return None
        try:
            wait = float(answer.headers.get("Ratelimit-Reset", "")) - self._server_time(answer)
        except ValueError:
            return None
        return max(0.0, wait) if wait <= PATIENCE_SECONDS else None

    def _server_time(self, answer: Answer) -> float:
        """Twitch's clock, in seconds since the epoch: ours may be wrong by any amount."""
        try:
            return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        except (ValueError, TypeError):
            return self._clock()


def _room(broadcaster_id: str, moderator_id: str) -> list[tuple[str, str]]:
    return [("broadcaster_id", broadcaster_id), ("moderator_id", moderator_id)]


def _failure(answer: Answer) -> TwitchError:
    said = answer.said
    detail = f" ({said})" if said else f" (status {answer.status})"
    if answer.status in (401, 403) and "scope" in said.lower():
        return MissingScope(f"the Twitch login does not allow this{detail}: log in to Twitch again")
    if answer.status == 429:
        return RateLimited(f"Twitch takes no more requests for now{detail}: try again later")
    return Refused(f"Twitch does not accept the request{detail}", answer.status, said)
