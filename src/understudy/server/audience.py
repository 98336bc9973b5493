"""Viewers of the live feed who want the same: each frame is made once and written to all of them.

A viewer that keeps up costs one write an event and no task. One that does not is taken out, goes on
at its own pace from its own position in the feed, and is let in again once it has caught up.
"""

import asyncio
from collections.abc import Callable

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState

from understudy.outputs.live import Interest, LiveFeed, LiveView
from understudy.server.shared_frames import frame_writer, text_frame

PING_SECONDS = 15.0
GOING_AWAY = 1001
_PING = b'{"type":"ping"}'


class Seat:
    """The socket of a viewer, and what it has been sent."""

    __slots__ = ("catching_up", "socket", "view", "write")

    def __init__(self, socket: WebSocket, view: LiveView) -> None:
        self.socket = socket
        self.view = view
        self.write = frame_writer(socket.scope)
        self.catching_up: asyncio.Task[None] | None = None


class Audience:
    """Everybody with one `Interest`; those who are up to date share their position."""

    def __init__(self, feed: LiveFeed, interest: Interest) -> None:
        self._view = LiveView(feed, dict, interest)
        self._up_to_date: set[Seat] = set()
        self._behind: set[Seat] = set()
        self._task = asyncio.create_task(self._run(), name="audience")

    @property
    def is_empty(self) -> bool:
        """Whether nobody watches."""
        return not (self._up_to_date or self._behind)

    def enter(self, seat: Seat) -> None:
        """Send the viewer what it has not seen, and all that comes, until it leaves."""
        self._behind.add(seat)
        seat.catching_up = asyncio.create_task(self._catch_up(seat), name="viewer catching up")

    async def leave(self, seat: Seat) -> None:
        """Send the viewer nothing more."""
        self._up_to_date.discard(seat)
        self._behind.discard(seat)
        if seat.catching_up is not None:
            seat.catching_up.cancel()
            (outcome,) = await asyncio.gather(seat.catching_up, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome

    async def close(self) -> None:
        """End the task that nobody needs any more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._view.ended:
            frame = await self._view.frame(PING_SECONDS)
            if frame is not None:
                self._send(frame, self._view.before_frame)
            elif not self._view.ended:
                self._send(_PING, self._view.position)
        # Everyone has everything: what is left of catching up is the close.
        for seat in list(self._up_to_date):
            self._take_out(seat, self._view.position)

    def _send(self, payload: bytes, before: int) -> None:
        """Write a frame to all who are up to date; `before` is the position without it."""
        frame = text_frame(payload)
        for seat in [seat for seat in self._up_to_date if not seat.write(frame)]:
            self._take_out(seat, before)

    def _take_out(self, seat: Seat, position: int) -> None:
        self._up_to_date.discard(seat)
        seat.view.back_to(position)
        self.enter(seat)

    async def _catch_up(self, seat: Seat) -> None:
        """Send what the viewer has not seen, waiting for it wherever it does not read."""
        try:
            while (frame := seat.view.next_frame()) is not None:
                await seat.socket.send_text(frame.decode())
            self._admit(seat)
            if seat.view.ended:
                await seat.socket.close(GOING_AWAY)
            seat.catching_up = None
        except (WebSocketDisconnect, RuntimeError) as error:
            if not has_left(seat.socket, error):
                raise

    def _admit(self, seat: Seat) -> None:
        """Let in a viewer that has seen all there is, after taking the others as far."""
        while (frame := self._view.next_frame()) is not None:
            self._send(frame, self._view.before_frame)
        self._behind.discard(seat)
        self._up_to_date.add(seat)


class Audiences:
    """The audiences of a server, by what they want to see."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._by_interest: dict[Interest, Audience] = {}

    async def seat(
        self,
        socket: WebSocket,
        interest: Interest,
        state: Callable[[], dict[str, object]],
        since: str,
    ) -> None:
        """Show the feed on an accepted socket until its peer leaves or the feed ends."""
        seat = Seat(socket, LiveView(self._feed, state, interest))
        try:
            await socket.send_text(seat.view.open(since).decode())
        except WebSocketDisconnect:
            return
        audience = self._by_interest.get(interest)
        if audience is None:
            audience = self._by_interest[interest] = Audience(self._feed, interest)
        audience.enter(seat)
        try:
            # Nothing is expected from the peer; reading is how its leaving is noticed.
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass
        finally:
            await audience.leave(seat)
            if audience.is_empty and self._by_interest.get(interest) is audience:
                del self._by_interest[interest]
                await audience.close()


def has_left(socket: WebSocket, error: Exception) -> bool:
    """Whether `error` only says that the peer left while it was being sent something."""
    if isinstance(error, WebSocketDisconnect):
        return True
    gone = WebSocketState.DISCONNECTED in {socket.client_state, socket.application_state}
    return gone and isinstance(error, RuntimeError)
