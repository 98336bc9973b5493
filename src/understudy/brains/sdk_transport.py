"""Requests through the official SDKs of OpenAI and Anthropic, answers as raw bytes.

Owns the timeouts of the HTTP client beneath an SDK and the translation of its exceptions. The
SDKs are built alike, so one module serves both. What an SDK costs per token is its objects and its
HTTP client: with our own decoding and aiohttp, which both SDKs offer, it is a fifth. Does not own
the SDKs' clients (`claude`, `openai`).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from understudy.brains.base import BrainError
from understudy.brains.failures import CONNECT_SECONDS, Failures
from understudy.brains.transport import KEEP_ALIVE_SECONDS, drain, explain, is_stream

if TYPE_CHECKING:
    import httpx2

_CONNECTIONS = 1_000
_KNOWN = ("model", "max_tokens", "stream")


class SdkErrors(NamedTuple):
    """The exceptions of an SDK: an error status, and a request without an answer."""

    status: type[Exception]
    connection: type[Exception]


class SdkTransport:
    """Sends requests by `create`, the `with_streaming_response.create` of an SDK's resource.

    `close` closes the SDK's client; `silence_seconds` is the longest wait for the next bytes.
    """

    def __init__(
        self,
        create: Callable[..., AbstractAsyncContextManager[Any]],
        close: Callable[[], Awaitable[None]],
        errors: SdkErrors,
        failures: Failures,
        *,
        silence_seconds: float,
    ) -> None:
        import aiohttp
        import httpx2

        self._create = create
        self._close = close
        self._errors = errors
        self._caught = (*errors, httpx2.HTTPError, aiohttp.ClientError)
        self._failures = failures
        self._silence_seconds = silence_seconds

    @asynccontextmanager
    async def send(self, payload: dict[str, Any]) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Send `payload` and give the answer's bytes as they come; raises `BrainError`."""
        begun = False
        try:
            async with self._create(**_arguments(payload)) as wrapped:
                begun = True
                response: httpx2.Response = wrapped.http_response
                if not is_stream(response.status_code, response.headers.get("content-type", "")):
                    body = await response.aread()
                    raise self._failures.rejected(response.status_code, response.headers, body)
                async with aclosing(response.aiter_bytes()) as chunks:
                    yield chunks
                    await drain(chunks)
        except self._caught as error:
            raise self._explain(error, begun) from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._close()

    def _explain(self, error: Exception, begun: bool) -> BrainError:
        if isinstance(error, self._errors.status):
            response: httpx2.Response = cast(Any, error).response
            return self._failures.rejected(response.status_code, response.headers, response.content)
        return explain(error, self._failures, begun=begun, silence_seconds=self._silence_seconds)


def _arguments(payload: dict[str, Any]) -> dict[str, Any]:
    """`payload` as arguments of `create`.

    What an SDK does not insist on goes past its signature: the SDKs drop parameters that the
    newest models no longer take, such as `temperature`, though older ones do. So do the messages
    that it does insist on: it would compare each with every type a message can have, which takes
    longer than all the rest of a request.
    """
    known = {name: payload[name] for name in _KNOWN if name in payload}
    extra = {name: value for name, value in payload.items() if name not in _KNOWN}
    return {**known, "messages": [], "extra_body": extra}


def client_options(silence_seconds: float) -> dict[str, Any]:
    """The timeouts and limits of an SDK's HTTP client."""
    import httpx2

    return {
        "timeout": httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS),
        "limits": httpx2.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        ),
    }
