"""The live chat part of the YouTube Data API v3 over a real socket.

Speaks the form that Google documents: pages of `liveChatMessage` resources, errors with reasons,
and a stream that is one JSON array written piece by piece. Page tokens are places in the chat.
"""

import asyncio
from collections import deque
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.fakes.http_server import Exchange, HttpServer

KEY = "a key for tests"
CHAT = "chat-1"
VIDEO = "abcdefghijk"
JSON = "application/json; charset=UTF-8"


def error_body(status: int, reason: str, domain: str = "youtube.liveChat") -> bytes:
    """An error as Google words it."""
    item = {"message": "no", "domain": domain, "reason": reason}
    return msgspec.json.encode({"error": {"code": status, "message": "no", "errors": [item]}})


class FakeYouTube(HttpServer):
    """One live stream with its chat.

    `failures` are answered, by method, before anything else: `(status, body)` one request each.
    `pieces` is the size of what is written at once, `stream_pages` how many pages a stream lasts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chat: list[dict[str, Any]] = []
        self.details: dict[str, Any] | None = {"activeLiveChatId": CHAT}
        self.failures: dict[str, deque[tuple[int, bytes]]] = {
            "videos": deque(),
            "messages": deque(),
            "stream": deque(),
        }
        self.offline = False
        self.pieces = 1 << 20
        self.stream_pages = 1 << 20
        self.polling_interval = 0
        self.date = datetime.now(UTC)

    @property
    def base_url(self) -> str:
        """What comes before a method's own path."""
        return f"{self.origin}/youtube/v3"

    def calls(self, method: str) -> list[dict[str, str]]:
        """The queries of the requests to a method, oldest first."""
        urls = [urlsplit(request.path) for request in self.requests]
        return [
            {name: values[0] for name, values in parse_qs(url.query).items()}
            for url in urls
            if url.path.endswith(f"/{method}")
        ]

    def post(self, *items: dict[str, Any]) -> None:
        """Add messages to the chat."""
        self.chat += items
        self.notice()

    def end(self) -> None:
        """End the live stream."""
        self.offline = True
        self.notice()

    async def answer(self, exchange: Exchange) -> None:
        url = urlsplit(exchange.request.path)
        method = url.path.rpartition("/")[2]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if exchange.request.headers.get("x-goog-api-key") != KEY:
            self._respond(exchange, error_body(401, "authError", "global"), 401)
        elif self.failures[method]:
            status, body = self.failures[method].popleft()
            self._respond(exchange, body, status)
        elif method == "videos":
            found = [] if self.details is None else [{"liveStreamingDetails": self.details}]
            self._respond(exchange, msgspec.json.encode({"items": found}))
        elif query.get("liveChatId") != CHAT:
            self._respond(exchange, error_body(404, "liveChatNotFound"), 404)
        elif method == "messages":
            self._respond(exchange, self._page(int(query.get("pageToken", 0))))
        else:
            await self._stream(exchange, int(query.get("pageToken", 0)))

    async def _stream(self, exchange: Exchange, at: int) -> None:
        exchange.begin({"content-type": JSON, "date": format_datetime(self.date)})
        for number in range(self.stream_pages):
            await self._write(exchange, (b",\r\n" if number else b"[") + self._page(at))
            at = len(self.chat)
            if self.offline:
                break
            if number + 1 < self.stream_pages:
                await self.until(lambda at=at: len(self.chat) > at or self.offline)
        await self._write(exchange, b"]")
        exchange.end()

    async def _write(self, exchange: Exchange, data: bytes) -> None:
        for start in range(0, len(data), self.pieces):
            await exchange.write(data[start : start + self.pieces])
            # Otherwise the pieces would leave in one segment.
            await asyncio.sleep(0)

    def _page(self, at: int) -> bytes:
        page: dict[str, Any] = {
            "kind": "youtube#liveChatMessageListResponse",
            "nextPageToken": str(len(self.chat)),
            "pollingIntervalMillis": self.polling_interval,
            "pageInfo": {"totalResults": len(self.chat)},
            "items": self.chat[at:],
        }
        if self.offline:
            page["offlineAt"] = "2026-11-21T20:00:00Z"
        return msgspec.json.format(msgspec.json.encode(page), indent=2)

    def _respond(self, exchange: Exchange, body: bytes, status: int = 200) -> None:
        exchange.respond(status, body, {"date": format_datetime(self.date)}, content_type=JSON)
