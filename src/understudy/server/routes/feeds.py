"""The live sockets: `/ws/live` for the web app and `/ws/overlay/{name}` for overlays.

Who may see what; how it reaches them is `server.audience`.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, WebSocket
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from understudy.events import (
    ChatMessage,
    Emotion,
    Event,
    Moderation,
    MoodReading,
    Reply,
    ReplyToken,
    TurnStarted,
)
from understudy.outputs.live import Interest
from understudy.server.access import identify_socket
from understudy.server.auth import AuthError
from understudy.server.routes.sockets import BAD_TOKEN
from understudy.server.services import Services, services_of

router = APIRouter()

OVERLAY_EVENTS: dict[str, tuple[type[Event], ...]] = {
    "chat": (ChatMessage, Moderation, TurnStarted, ReplyToken, Emotion, Reply),
    "mood": (MoodReading,),
}
"""What each overlay is sent: only what it shows."""


async def live(socket: WebSocket) -> None:
    """The event feed for the web app: a snapshot, then deltas with ids."""
    services = services_of(socket)
    refusal = _refuse_live(socket, services)
    if refusal is not None:
        await _turn_away(socket, refusal)
        return
    interest = Interest(channel=socket.query_params.get("channel", ""))
    await _show(socket, services, "/ws/live", interest, services.state)


async def overlay(socket: WebSocket) -> None:
    """The feed of one overlay, only what it shows."""
    services = services_of(socket)
    name: str = socket.path_params["name"]
    kinds = OVERLAY_EVENTS.get(name)
    if kinds is None or not await _may_watch(socket, services, name):
        await _turn_away(socket, "this overlay needs its key: make one in the web app")
        return
    interest = Interest(kinds, socket.query_params.get("channel", ""), with_private=False)
    cohost = services.settings.persona.name
    await _show(socket, services, "/ws/overlay/{name}", interest, lambda: {"cohost": cohost})


class _Watched:
    """A handler of sockets as an application of its own.

    Thousands may watch, and what the frameworks wrap around a function takes a third more memory.
    """

    def __init__(self, handle: Callable[[WebSocket], Awaitable[None]]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._handle(WebSocket(scope, receive, send))


router.routes.append(WebSocketRoute("/ws/live", _Watched(live)))
router.routes.append(WebSocketRoute("/ws/overlay/{name}", _Watched(overlay)))


def _refuse_live(socket: WebSocket, services: Services) -> str | None:
    if not services.settings.auth_required:
        return None
    try:
        caller = identify_socket(socket, services, "moderator")
    except AuthError as error:
        return str(error)
    return None if caller else "the live feed needs a token of the role moderator"


async def _may_watch(socket: WebSocket, services: Services, name: str) -> bool:
    if not services.settings.auth_required:
        return True
    try:
        if identify_socket(socket, services, "overlay") is not None:
            return True
    except AuthError:
        return False
    return await services.overlay_keys.verify(name, socket.query_params.get("key", ""))


async def _turn_away(socket: WebSocket, reason: str) -> None:
    await socket.accept()
    await socket.close(BAD_TOKEN, reason[:120])


async def _show(
    socket: WebSocket,
    services: Services,
    path: str,
    interest: Interest,
    state: Callable[[], dict[str, object]],
) -> None:
    await socket.accept()
    gauge = services.metrics.sockets.labels(path)
    gauge.inc()
    try:
        with services.feed.watching():
            since = socket.query_params.get("since", "")
            await services.audiences.seat(socket, interest, state, since)
    finally:
        gauge.dec()
