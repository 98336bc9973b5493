"""One socket to EventSub: frames in, nothing out.

Owns connecting, the welcome, the silence that is too long and the closing. Does not own what
follows from a frame (`eventsub_session`).

A client must not send anything, not even a ping (close code 4001); pongs are the library's affair.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from understudy.sources.twitch.eventsub_frames import BadFrame, Frame, Welcome, read_frame

WELCOME_SECONDS = 10.0
SILENCE_FACTOR = 1.5
"""A connection silent for this many times the promised keep-alive is given up."""
CLOSE_SECONDS = 2.0

OnBad = Callable[[str], None]
"""Told of each frame that cannot be read."""


class SessionLost(Exception):
    """The connection cannot be made or has ended; the message says why in one sentence."""


class Connection:
    """A socket that was welcomed; `session` is what subscriptions name."""

    def __init__(self, socket: ClientConnection, welcome: Welcome, on_bad: OnBad) -> None:
        self.session = welcome.session
        self._socket = socket
        self._silence = welcome.keepalive_seconds * SILENCE_FACTOR
        self._on_bad = on_bad

    async def read(self) -> Frame:
        """The next frame that can be read; raises `SessionLost` when no more come."""
        try:
            async with asyncio.timeout(self._silence) as patience:
                while True:
                    data = await self._socket.recv()
                    try:
                        return read_frame(data)
                    except BadFrame as error:
                        self._on_bad(str(error))
                        # Garbage is a sign of life all the same.
                        patience.reschedule(asyncio.get_running_loop().time() + self._silence)
        except TimeoutError:
            raise SessionLost(f"Twitch sent nothing for {self._silence:g} s") from None
        except ConnectionClosed as closed:
            raise _ended(closed) from None

    async def close(self) -> None:
        """Leave; what is on its way can still be read. Safe to call twice."""
        await self._socket.close()


async def open_connection(url: str, on_bad: OnBad) -> Connection:
    """A connection to `url` that was welcomed within 10 s; raises `SessionLost`."""
    host = urlsplit(url).hostname or url
    try:
        async with asyncio.timeout(WELCOME_SECONDS):
            socket = await connect(
                url, ping_interval=None, close_timeout=CLOSE_SECONDS, open_timeout=None
            )
            try:
                return Connection(socket, _welcome(await socket.recv()), on_bad)
            except BaseException:
                await socket.close()
                raise
    except TimeoutError:
        raise SessionLost(f"{host} did not welcome us within {WELCOME_SECONDS:g} s") from None
    except ConnectionClosed as closed:
        raise _ended(closed) from None
    except (OSError, WebSocketException) as error:
        raise SessionLost(f"{host} cannot be reached ({error})") from None


def _welcome(data: str | bytes) -> Welcome:
    try:
        frame = read_frame(data)
    except BadFrame as error:
        raise SessionLost(f"Twitch's greeting cannot be read ({error})") from None
    if not isinstance(frame, Welcome):
        raise SessionLost("Twitch did not greet us with a welcome")
    return frame


def _ended(closed: ConnectionClosed) -> SessionLost:
    if closed.rcvd is None:
        return SessionLost("the connection to Twitch broke off")
    reason = f" ({closed.rcvd.reason})" if closed.rcvd.reason else ""
    return SessionLost(f"Twitch closed the connection with code {closed.rcvd.code}{reason}")
