"""Twitch's API (Helix) over a real socket, as far as Understudy uses it.

Knows the accounts of `users` (login to number), checks every token with a `TwitchIdServer` and
the scope of every call, and keeps what it was asked: `sent`, `deleted`, `bans`, `subscribed`.
EventSub subscriptions must name a session that `eventsub` has open, when there is one.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.http_server import Exchange
from tests.fakes.twitch_eventsub import TwitchEventSubServer
from tests.fakes.twitch_id import CLIENT_ID, Account, TwitchIdServer, TwitchServer, refuse, reply

Query = dict[str, list[str]]
Subscribing = Callable[[dict[str, Any]], tuple[int, str] | None]
MAX_CHARS = 500


class TwitchHelixServer(TwitchServer):
    """Answers under `/helix`; `url` is what goes into the settings.

    `drop` is the reason why messages are not shown, `refuse_subscription` may refuse one with
    status and message, and `moderated` are the numbers of channels the account moderates. While
    `hold` is not set, messages wait to be answered; `held` counts those that did.
    """

    def __init__(self, ids: TwitchIdServer, eventsub: TwitchEventSubServer | None = None) -> None:
        super().__init__()
        self.users: dict[str, str] = {}
        self.live: dict[str, str] = {}
        self.sent: list[dict[str, Any]] = []
        self.deleted: list[Query] = []
        self.bans: list[tuple[Query, dict[str, Any]]] = []
        self.subscribed: list[dict[str, Any]] = []
        self.moderated: list[str] = []
        self.drop: dict[str, str] | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.held = 0
        self.refuse_subscription: Subscribing = lambda wanted: None
        self._ids = ids
        self._eventsub = eventsub

    @property
    def url(self) -> str:
        return f"{self.origin}/helix"

    @property
    def types(self) -> list[str]:
        """The types that were subscribed to, in order."""
        return [wanted["type"] for wanted in self.subscribed]

    async def serve(self, exchange: Exchange) -> None:
        request = exchange.request
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        account = self._ids.access.get(token)
        if account is None or request.headers.get("client-id") != CLIENT_ID:
            refuse(exchange, 401, "Invalid OAuth token")
            return
        parts = urlsplit(request.path)
        name = f"{request.method} {parts.path.removeprefix('/helix')}"
        scope, serve = _CALLS.get(name, ("", None))
        if name == "POST /chat/messages" and not self.hold.is_set():
            self.held += 1
            await self.hold.wait()
        if serve is None:
            refuse(exchange, 404, "")
        elif scope and scope not in account.scopes:
            refuse(exchange, 401, f"Missing scope: {scope}")
        else:
            serve(self, exchange, account, parse_qs(parts.query))

    def get_users(self, exchange: Exchange, account: Account, query: Query) -> None:
        asked = query.get("login", [account.login])
        found = [
            {"id": self.users[login], "login": login, "display_name": login.title()}
            for login in asked
            if login in self.users
        ]
        reply(exchange, 200, {"data": found})

    def get_streams(self, exchange: Exchange, account: Account, query: Query) -> None:
        found = [
            {"user_login": login, "title": self.live[login], "viewer_count": 7}
            for login in query.get("user_login", [])
            if login in self.live
        ]
        reply(exchange, 200, {"data": found, "pagination": {}})

    def get_moderated(self, exchange: Exchange, account: Account, query: Query) -> None:
        # One channel a page, so that pages are turned.
        at = int(query.get("after", ["0"])[0])
        page = [{"broadcaster_id": number} for number in self.moderated[at : at + 1]]
        more = {"cursor": str(at + 1)} if at + 1 < len(self.moderated) else {}
        reply(exchange, 200, {"data": page, "pagination": more})

    def post_message(self, exchange: Exchange, account: Account, query: Query) -> None:
        message = exchange.request.json
        if message["sender_id"] != account.user_id:
            refuse(exchange, 401, "The sender_id must match the user of the token")
        elif not 0 < len(message["message"]) <= MAX_CHARS:
            refuse(exchange, 400, "The request's input was not valid")
        elif self.drop is not None:
            dropped = {"message_id": "", "is_sent": False, "drop_reason": self.drop}
            reply(exchange, 200, {"data": [dropped]})
        else:
            self.sent.append(message)
            done = {"message_id": f"sent-{len(self.sent)}", "is_sent": True, "drop_reason": None}
            reply(exchange, 200, {"data": [done]})
            self.notice()

    def delete_message(self, exchange: Exchange, account: Account, query: Query) -> None:
        self.deleted.append(query)
        reply(exchange, 204, None)

    def post_ban(self, exchange: Exchange, account: Account, query: Query) -> None:
        self.bans.append((query, exchange.request.json["data"]))
        reply(exchange, 200, {"data": [{}]})

    def post_subscription(self, exchange: Exchange, account: Account, query: Query) -> None:
        wanted = exchange.request.json
        session = wanted["transport"]["session_id"]
        if self._eventsub is not None and not self._eventsub.take_subscription(session, wanted):
            refuse(exchange, 400, "websocket transport session does not exist")
        elif (refusal := self.refuse_subscription(wanted)) is not None:
            status, message = refusal
            # Requests are left: it is the subscriptions that are used up.
            body = {"status": status, "message": message}
            reply(exchange, status, body, {"Ratelimit-Remaining": "799", "Ratelimit-Reset": "1"})
        else:
            self.subscribed.append(wanted)
            made = {"id": f"sub-{len(self.subscribed)}", "status": "enabled", "cost": 0}
            reply(exchange, 202, {"data": [{**wanted, **made}], "total": len(self.subscribed)})
            self.notice()

    def get_subscriptions(self, exchange: Exchange, account: Account, query: Query) -> None:
        kept = [
            {"id": f"sub-{number}", "type": wanted["type"], "status": "enabled", "cost": 0}
            for number, wanted in enumerate(self.subscribed, 1)
        ]
        reply(exchange, 200, {"data": kept, "total": len(kept), "pagination": {}})

    def delete_subscription(self, exchange: Exchange, account: Account, query: Query) -> None:
        self.deleted.append(query)
        reply(exchange, 204, None)


Serve = Callable[[TwitchHelixServer, Exchange, Account, Query], None]
_CALLS: dict[str, tuple[str, Serve]] = {
    "GET /users": ("", TwitchHelixServer.get_users),
    "GET /streams": ("", TwitchHelixServer.get_streams),
    "GET /moderation/channels": ("user:read:moderated_channels", TwitchHelixServer.get_moderated),
    "POST /chat/messages": ("user:write:chat", TwitchHelixServer.post_message),
    "DELETE /moderation/chat": ("moderator:manage:chat_messages", TwitchHelixServer.delete_message),
    "POST /moderation/bans": ("moderator:manage:banned_users", TwitchHelixServer.post_ban),
    "POST /eventsub/subscriptions": ("", TwitchHelixServer.post_subscription),
    "GET /eventsub/subscriptions": ("", TwitchHelixServer.get_subscriptions),
    "DELETE /eventsub/subscriptions": ("", TwitchHelixServer.delete_subscription),
}
