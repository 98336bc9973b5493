"""How a request gets to a provider and its answer comes back as bytes.

Owns the interface and what its two ways share: `http_transport` posts to any URL by aiohttp,
`sdk_transport` goes through the official SDKs, with aiohttp beneath them. Does not own what is
asked or how the bytes are read.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from understudy.brains.base import BrainError
from understudy.brains.failures import Failures

KEEP_ALIVE_SECONDS = 60.0
"""How long an idle connection is kept: a quiet chat must not pay for a handshake per answer."""

_DRAIN_SECONDS = 0.25


class Transport(Protocol):
    """Sends requests of one kind to one provider."""

    def send(self, payload: dict[str, Any]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Send `payload` and give the answer's bytes as they come; raises `BrainError`.

        Leaving early closes the connection at once, so that the provider stops.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


def is_stream(status: int, content_type: str) -> bool:
    """Whether an answer can be a stream of events; some servers name no type for it."""
    wrong = ("application/json", "application/problem+json", "text/html")
    return status == 200 and not content_type.startswith(wrong)


def explain(
    error: BaseException, failures: Failures, *, begun: bool, silence_seconds: float
) -> BrainError:
    """What `error`, an exception of aiohttp or one that it has caused, means.

    `begun` says whether the answer had begun.
    """
    import aiohttp

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientError | TimeoutError):
        cause = cause.__cause__
    match cause:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return failures.unreachable()
        case TimeoutError():
            return failures.silent(silence_seconds)
        case _ if begun:
            return failures.broke_off()
        case aiohttp.ClientConnectionError():
            return failures.hung_up()
        case _:
            return failures.unreadable()


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read past the end of an answer, so that its connection can be used again.

    A server that does not end the body in time loses its connection instead.
    """
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass
    except TimeoutError:
        return
