"""The live feed over a WebSocket: opens it, opens it again when it breaks, goes on where it was."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from understudy.client.backoff import Backoff
from understudy.client.calls import SILENCE_SECONDS
from understudy.client.errors import ClientError, ConnectionLost, Unauthorized, Unreachable
from understudy.client.frames import Gap, LiveFrame, Ping, decode_live_frame

FRAME_BYTES = 16 * 1024 * 1024
_BAD_TOKEN = 4401


async def live_frames(
    address: Callable[[str], Awaitable[str]], backoff: Backoff, since: str
) -> AsyncGenerator[LiveFrame]:
    """The frames of the feed but for pings, over as many connections as it takes.

    `address` gives the URL that goes on after an id; it is asked before every attempt, because
    tickets are used up. Raises `ClientError` when the server refuses, or stays away for more
    attempts in a row than `backoff` has.
    """
    failures = 0
    while True:
        try:
            async with aclosing(_connection(await address(since))) as frames:
                async for frame in frames:
                    failures = 0
                    if isinstance(frame, Ping):
                        continue
                    if not isinstance(frame, Gap):
                        since = frame.id
                    yield frame
        except (ConnectionLost, Unreachable):
            failures += 1
            if failures > backoff.attempts:
                raise
        await asyncio.sleep(backoff.delay(max(failures, 1)))


async def _connection(url: str) -> AsyncGenerator[LiveFrame]:
    """The frames of one connection, which ends when the server says so."""
    try:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, WebSocketException
    except ImportError:
        raise ClientError("the live feed needs websockets: pip install websockets") from None
    try:
        # The frames are small and many: compression costs more than it saves.
        async with connect(url, compression=None, max_size=FRAME_BYTES) as socket:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    data = await socket.recv()
                yield decode_live_frame(data)
    except ConnectionClosed as closed:
        if closed.rcvd is not None and closed.rcvd.code == _BAD_TOKEN:
            raise Unauthorized(closed.rcvd.reason, 401) from None
        if closed.rcvd is None:
            raise ConnectionLost("the live feed broke off: is the server still there?") from None
    except (OSError, TimeoutError, WebSocketException) as error:
        what = type(error).__name__
        raise Unreachable(
            f"the live feed does not answer ({what}): is the server running?"
        ) from None
