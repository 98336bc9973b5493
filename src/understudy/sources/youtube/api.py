"""Requests to the YouTube Data API v3, and what their errors mean.

Owns the connections, the pages of a chat and the errors. Does not own when something is asked
(`source`) nor what a message says (`messages`).

`liveChat/messages/stream` answers with one JSON array that is written piece by piece: an element
for each batch of messages, the closing bracket when the server ends the connection. The reference
describes the method and its parameters; the path and the framing are those of the discovery
document and of other clients.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    import aiohttp

BASE_URL: Final = "https://www.googleapis.com/youtube/v3"
CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 120.0
"""Longest wait for the next bytes; a stream that is silent for longer is opened again."""
PAGE_BYTES: Final = 16 * 1024 * 1024
"""Largest page of a stream: 2,000 messages with every detail take less."""
_ERROR_BYTES: Final = 65_536
_IN_STREAM_ERROR: Final = re.compile(rb'\{\s*"error"\s*:')

_Decoded = TypeVar("_Decoded")

Trouble = Literal[
    "quota", "rate", "over", "refused", "page", "unsupported", "silent", "unavailable"
]
"""`quota`: nothing more today; `rate`: too fast; `over`: the chat has ended; `refused`: as long as
nobody changes the settings; `page`: the page token is not valid; `unsupported`: this method does
not work here; `silent`: nothing came for a while; `unavailable`: worth trying again."""

_REASONS: Final[dict[str, Trouble]] = {
    "quotaExceeded": "quota",
    "dailyLimitExceeded": "quota",
    "rateLimitExceeded": "rate",
    "userRateLimitExceeded": "rate",
    "userRequestsExceedRateLimit": "rate",
    "liveChatEnded": "over",
    "liveChatNotFound": "refused",
    "liveChatDisabled": "refused",
    "pageTokenInvalid": "page",
    "invalidPageToken": "page",
    "keyInvalid": "refused",
    "API_KEY_INVALID": "refused",
    "accessNotConfigured": "refused",
    "authError": "refused",
    "forbidden": "refused",
    "insufficientPermissions": "refused",
}
_SENTENCES: Final[dict[str, str]] = {
    "liveChatEnded": "the live chat has ended",
    "liveChatNotFound": "YouTube knows no such live chat: check youtube.video",
    "liveChatDisabled": "the live stream has its chat switched off: switch it on in YouTube Studio",
    "accessNotConfigured": "the key's project may not use the YouTube Data API: enable it there",
}


class YouTubeError(Exception):
    """YouTube did not answer as hoped; the message is one sentence, `trouble` what to do."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble


class Page(msgspec.Struct, frozen=True, rename="camel"):
    """A batch of messages, oldest first; `offline_at` is there once the live stream is over.

    The messages are not decoded yet, so that a bad one spoils no other.
    """

    items: list[msgspec.Raw] = []
    next_page_token: str = ""
    polling_interval_millis: int = 0
    offline_at: str = ""


class LiveDetails(msgspec.Struct, frozen=True, rename="camel"):
    """What a video says of its live stream."""

    active_live_chat_id: str = ""
    actual_end_time: str = ""


class _Video(msgspec.Struct, frozen=True, rename="camel"):
    live_streaming_details: LiveDetails = LiveDetails()


class _Videos(msgspec.Struct, frozen=True):
    items: list[_Video] = []


class _ErrorItem(msgspec.Struct, frozen=True):
    reason: str = ""
    domain: str = ""


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    errors: list[_ErrorItem] = []
    details: list[_ErrorItem] = []


class _Failure(msgspec.Struct, frozen=True):
    error: _Error


_pages = msgspec.json.Decoder(Page, strict=False)
_videos = msgspec.json.Decoder(_Videos, strict=False)
_failure: msgspec.json.Decoder[_Failure | list[_Failure]] = msgspec.json.Decoder(
    _Failure | list[_Failure], strict=False
)


class YouTubeApi:
    """The few requests a chat needs, with an API key or an OAuth access token.

    `base_url` is everything before a method's own path.
    """

    def __init__(
        self,
        *,
        api_key: str = "",
        access_token: str = "",
        base_url: str = BASE_URL,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._headers = {"X-Goog-Api-Key": api_key} if api_key else {}
        if access_token:
            self._headers = {"Authorization": f"Bearer {access_token}"}
        self._base_url = base_url.rstrip("/")
        self._silence_seconds = silence_seconds
        self._session: aiohttp.ClientSession | None = None

    @property
    def has_access(self) -> bool:
        """Whether there is a key or a token at all."""
        return bool(self._headers)

    async def live_details(self, video: str) -> LiveDetails | None:
        """What a video says of its live stream; None when there is no such video."""
        query = {"part": "liveStreamingDetails", "id": video}
        async with self._get("videos", query) as response:
            videos = _decode(_videos, await response.read())
        return videos.items[0].live_streaming_details if videos.items else None

    async def list(self, chat: str, page_token: str) -> Page:
        """The messages since `page_token`; the newest ones when it is empty."""
        async with self._get("liveChat/messages", _query(chat, page_token)) as response:
            return _decode(_pages, await response.read())

    @asynccontextmanager
    async def stream(
        self, chat: str, page_token: str
    ) -> AsyncGenerator[tuple[int | None, AsyncGenerator[Page, None]], None]:
        """The server's clock at the start, in ms, and pages as they come until it ends."""
        query = _query(chat, page_token)
        async with (
            self._get("liveChat/messages/stream", query) as response,
            aclosing(_read_pages(response)) as pages,
        ):
            yield _server_time(response.headers), pages

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    @asynccontextmanager
    async def _get(
        self, path: str, query: dict[str, str]
    ) -> AsyncGenerator["aiohttp.ClientResponse", None]:
        """An answer of status 200; errors of aiohttp become `YouTubeError`."""
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=self._silence_seconds
            )
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        try:
            async with self._session.get(
                f"{self._base_url}/{path}", params=query, allow_redirects=False
            ) as response:
                if response.status != 200:
                    body = await response.content.read(_ERROR_BYTES)
                    raise rejection(response.status, body)
                yield response
        except TimeoutError:
            raise YouTubeError("silent", "YouTube was silent for too long") from None
        except aiohttp.ClientError as error:
            detail = type(error).__name__
            raise YouTubeError("unavailable", f"YouTube cannot be reached ({detail})") from None


class ArrayReader:
    """Takes the elements of a JSON array out of its bytes as soon as each is complete.

    Objects that merely follow one another are taken as well.
    """

    _MARKS: Final = re.compile(rb'["\\{}]')

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._depth = 0
        self._begin = 0
        self._quoted = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that `data` completes; raises `YouTubeError` when one is too large."""
        self._buffer += data
        found: list[bytes] = []
        while (mark := self._MARKS.search(self._buffer, self._at)) is not None:
            if mark[0] == b"\\":
                if mark.end() == len(self._buffer):
                    break  # what it escapes has not come yet
                self._at = mark.end() + 1
                continue
            self._at = mark.end()
            if self._note(mark[0], mark.start()):
                found.append(bytes(self._buffer[self._begin : self._at]))
        else:
            self._at = len(self._buffer)
        self._forget()
        return found

    def _note(self, mark: bytes, at: int) -> bool:
        """Follow the nesting; whether an object of the array ends here."""
        if mark == b'"':
            self._quoted = not self._quoted
        elif self._quoted:
            return False
        elif mark == b"{":
            if self._depth == 0:
                self._begin = at
            self._depth += 1
        elif self._depth:
            self._depth -= 1
            return self._depth == 0
        return False

    def _forget(self) -> None:
        """Let go of what was handed out."""
        keep = self._begin if self._depth else self._at
        del self._buffer[:keep]
        self._begin, self._at = 0, self._at - keep
        if len(self._buffer) > PAGE_BYTES:
            raise YouTubeError("unsupported", "YouTube's stream is not of the expected form")


def rejection(status: int, body: bytes) -> YouTubeError:
    """What an answer other than 200, or an error within a stream, means."""
    try:
        decoded = _failure.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        failure = _Error()
    else:
        failures = decoded if isinstance(decoded, list) else [decoded]
        failure = failures[0].error if failures else _Error()
    named = [item for item in [*failure.errors, *failure.details] if item.reason]
    reason = next((item.reason for item in named if item.reason in _REASONS), "")
    if any(item.domain == "youtube.quota" for item in named):
        reason = "quotaExceeded"
    trouble = _REASONS.get(reason) or _trouble_of(status)
    return YouTubeError(trouble, _SENTENCES.get(reason) or _sentence(trouble, status))


def _trouble_of(status: int) -> Trouble:
    match status:
        case 429:
            return "rate"
        case 401 | 403:
            return "refused"
        case _:
            return "unavailable" if status >= 500 else "unsupported"


def _sentence(trouble: Trouble, status: int) -> str:
    match trouble:
        case "quota":
            return "the day's quota of the YouTube API is used up"
        case "rate":
            return "YouTube asks for fewer requests"
        case "refused":
            return "YouTube does not accept the key or token: check youtube.api_key"
        case "page":
            return "YouTube does not know the place to go on from"
        case _:
            return f"YouTube answered with status {status}"


async def _read_pages(response: "aiohttp.ClientResponse") -> AsyncGenerator[Page, None]:
    reader = ArrayReader()
    async for data in response.content.iter_any():
        for element in reader.feed(data):
            if _IN_STREAM_ERROR.match(element):
                raise rejection(500, element)
            yield _decode(_pages, element)


def _decode(decoder: "msgspec.json.Decoder[_Decoded]", data: bytes) -> _Decoded:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "YouTube's answer is not of the expected form"
        raise YouTubeError("unsupported", message) from None


def _query(chat: str, page_token: str) -> dict[str, str]:
    query = {"liveChatId": chat, "part": "id,snippet,authorDetails", "maxResults": "2000"}
    return {**query, "pageToken": page_token} if page_token else query


def _server_time(headers: Mapping[str, str]) -> int | None:
    try:
        return int(parsedate_to_datetime(headers.get("Date", "")).timestamp() * 1000)
    except (TypeError, ValueError):
        return None
