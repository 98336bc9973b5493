"""Requests to Twitch's HTTP servers and their answers.

Owns connections, timeouts and the attempts after a fault. Does not own what is asked (`id_api`,
`helix`). Tokens travel in headers and bodies only, and no error repeats them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from understudy.sources.twitch.backoff import jittered_wait
from understudy.sources.twitch.errors import Refused, Unreachable

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Query = Sequence[tuple[str, str]]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 4.0
MAX_ANSWER_BYTES = 1_048_576
_MAX_SAID = 200
_SAFE_TO_REPEAT = frozenset({"GET", "DELETE"})


class Answer(msgspec.Struct, frozen=True):
    """An answer that was read whole; lookups in `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> str:
        """Twitch's own words about an error, on one line; empty when there are none."""
        try:
            error = msgspec.json.decode(self.body, type=_Error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
        return " ".join((error.message or error.error).split())[:_MAX_SAID].rstrip(" .:")

    def read(self, kind: type[T]) -> T:
        """The body as `kind`; raises `Refused` when it is something else."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            sentence = "Twitch sent something that is no answer: check the URLs in [twitch]"
            raise Refused(sentence, self.status) from None


class _Error(msgspec.Struct):
    message: str = ""
    error: str = ""


class TwitchHttp:
    """Asks one of Twitch's servers at `base_url`, which `setting` names in messages.

    A fault (status 500 and above) is tried again, and so is a request that cannot have arrived;
    one whose answer was lost only when it is safe to repeat.
    """

    def __init__(self, base_url: str, setting: str, *, sleep: Sleep = asyncio.sleep) -> None:
        parts = urlsplit(base_url.rstrip("/"))
        # Tokens are all that Twitch wants; a user in the URL would stand in their way.
        self._host = parts.netloc.rpartition("@")[2]
        self._base_url = f"{parts.scheme}://{self._host}{parts.path}"
        self._setting = setting
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Query = (),
        form: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Answer:
        """The answer, with any status below 500; raises `Unreachable`."""
        content = {"data": form} if json is None else {"data": msgspec.json.encode(json)}
        head = dict(headers or {}) | ({} if json is None else {"Content-Type": "application/json"})
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = await self._ask(method, path, head, query, content)
            except _Lost as lost:
                if last or not (lost.before_sending or method in _SAFE_TO_REPEAT):
                    raise self._unreachable() from None
            else:
                if answer.status < 500:
                    return answer
                if last:
                    fault = f"Twitch has a fault (status {answer.status}): try again later"
                    raise Unreachable(fault)
            await self._sleep(jittered_wait(attempt, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))
        raise self._unreachable()

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Query,
        content: dict[str, Any],
    ) -> Answer:
        import aiohttp

        session = self._open_session()
        try:
            async with session.request(
                method,
                self._base_url + path,
                params=list(query),
                headers=headers,
                allow_redirects=False,
                **content,
            ) as response:
                # What is longer is cut, and then no answer that can be read.
                body = await _read_up_to(response, MAX_ANSWER_BYTES)
                return Answer(response.status, response.headers, body)
        except aiohttp.ClientConnectorError:
            raise _Lost(before_sending=True) from None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            # The last is a URL that is none, or a stored token that no header can hold.
            raise _Lost(before_sending=False) from None

    def _open_session(self) -> "aiohttp.ClientSession":
        import aiohttp

        # Not made in the constructor: a session belongs to the event loop that is running.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _unreachable(self) -> Unreachable:
        check = f"check the internet connection and {self._setting}"
        return Unreachable(f"Twitch cannot be reached at {self._host}: {check}")


class _Lost(Exception):
    """No whole answer came; `before_sending` says that the request cannot have arrived."""

    def __init__(self, *, before_sending: bool) -> None:
        super().__init__()
        self.before_sending = before_sending


async def _read_up_to(response: "aiohttp.ClientResponse", limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            break
    return bytes(body[:limit])
