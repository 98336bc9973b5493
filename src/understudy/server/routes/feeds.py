"""The live sockets: `/ws/live` for the web app and `/ws/overlay/{name}` for overlays.

Each viewer is a `LiveView` with a position of its own: one that stops reading holds up nobody.
"""

import asyncio

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from understudy.events import (
    ChatMessage,
    Emotion,
    Event,
    Moderation,
    Reply,
    ReplyToken,
    TurnStarted,
)
from understudy.outputs.live import LiveView
from understudy.server.access import identify_socket
from understudy.server.auth import AuthError
from understudy.server.routes.sockets import BAD_TOKEN, has_left
from understudy.server.services import Services, services_of

router = APIRouter()

OVERLAY_EVENTS: dict[str, tuple[type[Event], ...]] = {
    "chat": (ChatMessage, Moderation, TurnStarted, ReplyToken, Emotion, Reply),
}
"""What each overlay is sent: only what it shows."""
PING_SECONDS = 15.0
GOING_AWAY = 1001
_PING = '{"type":"ping"}'


@router.websocket("/ws/live")
async def live(socket: WebSocket) -> None:
    """The event feed for the web app: a snapshot, then deltas with ids."""
    services = services_of(socket)
    refusal = _refuse_live(socket, services)
    if refusal is not None:
        await _turn_away(socket, refusal)
        return
    view = LiveView(services.feed, services.state, channel=socket.query_params.get("channel", ""))
    await _serve(socket, services, view)


@router.websocket("/ws/overlay/{name}")
async def overlay(socket: WebSocket, name: str) -> None:
    """The feed of one overlay, only what it shows."""
    services = services_of(socket)
    kinds = OVERLAY_EVENTS.get(name)
    if kinds is None or not await _may_watch(socket, services, name):
        await _turn_away(socket, "this overlay needs its key: make one in the web app")
        return
    view = LiveView(
        services.feed,
        lambda: {"cohost": services.settings.persona.name},
        kinds=kinds,
        with_private=False,
        channel=socket.query_params.get("channel", ""),
    )
    await _serve(socket, services, view)


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


async def _serve(socket: WebSocket, services: Services, view: LiveView) -> None:
    """Send frames at the viewer's own pace until it leaves or the feed ends."""
    await socket.accept()
    gauge = services.metrics.sockets.labels(socket.scope["route"].path)
    gauge.inc()
    sender = asyncio.create_task(_send_all(socket, view), name="live sender")
    try:
        # Nothing is expected from the peer; reading is how its leaving is noticed.
        leaving = asyncio.create_task(_until_gone(socket), name="live reader")
        with services.feed.watching():
            await asyncio.wait([sender, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    finally:
        gauge.dec()
        sender.cancel()
        (outcome,) = await asyncio.gather(sender, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome


async def _send_all(socket: WebSocket, view: LiveView) -> None:
    try:
        since = socket.query_params.get("since", "")
        await socket.send_text(view.open(since).decode())
        while not view.ended:
            frame = await view.frame(PING_SECONDS)
            if frame is not None:
                await socket.send_text(frame.decode())
            elif not view.ended:
                await socket.send_text(_PING)
        await socket.close(GOING_AWAY)
    except (WebSocketDisconnect, RuntimeError) as error:
        if not has_left(socket, error):
            raise


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
