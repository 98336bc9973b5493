"""`/api/v1/intake` and `/ws/intake`: where other programs hand in what happens on the stream."""

import msgspec
from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
from starlette.types import Message

from understudy.events import Role
from understudy.server.access import Moderator, ServicesDep, identify_socket, too_many
from understudy.server.audience import has_left
from understudy.server.auth import LOCAL_OWNER, AuthError, Principal
from understudy.server.problems import Problem
from understudy.server.routes.sockets import BAD_TOKEN
from understudy.server.services import Services, services_of
from understudy.sources.intake import Fates
from understudy.sources.intake_items import ItemError, Sender, decode_items

router = APIRouter(tags=["intake"])

_ITEM: dict[str, object] = {
    "type": "object",
    "description": "A chat message, a stream event or an act of moderation; see docs/sources.md.",
    "properties": {
        "type": {"type": "string", "default": "chat"},
        "platform": {"type": "string"},
        "channel": {"type": "string"},
        "user": {"type": "string"},
        "text": {"type": "string"},
    },
}
_BODY: dict[str, object] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [_ITEM, {"type": "array", "items": _ITEM}]},
            },
        },
    },
}


@router.post("/api/v1/intake", openapi_extra=_BODY)
async def intake(request: Request, services: ServicesDep, caller: Moderator) -> dict[str, object]:
    """Take in one event, a list, or one a line; the answer tells the fate of each, in order."""
    try:
        items = decode_items(await request.body())
    except ItemError as error:
        raise Problem(422, str(error)) from None
    address = request.client.host if request.client else ""
    fates = await services.intake.take(items, _sender(caller, address))
    if items and fates.wait > 0 and fates.count("refused") == len(items):
        raise too_many("for the intake", fates.wait)
    return _answer(fates)


@router.websocket("/ws/intake")
async def intake_socket(socket: WebSocket) -> None:
    """The same, a frame of items at a time; each frame is answered with one of their fates."""
    services = services_of(socket)
    caller = await _enter(socket, services)
    if caller is None:
        return
    gauge = services.metrics.sockets.labels("/ws/intake")
    gauge.inc()
    sender = _sender(caller, socket.client.host if socket.client else "")
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            answer = await _take_frame(services, sender, message)
            await socket.send_text(msgspec.json.encode(answer).decode())
    except (WebSocketDisconnect, RuntimeError) as error:
        if not has_left(socket, error):
            raise
    finally:
        gauge.dec()


async def _enter(socket: WebSocket, services: Services) -> Principal | None:
    """Accept the socket and say who it is; who may not hand in events is told with 4401."""
    try:
        caller = identify_socket(socket, services, "moderator")
        if caller is None and services.settings.auth_required:
            raise AuthError("this socket asks for a token: add ?ticket=… from POST /ws/ticket")
    except AuthError as error:
        await socket.accept()
        await socket.close(BAD_TOKEN, str(error)[:120])
        return None
    await socket.accept()
    return caller or LOCAL_OWNER


async def _take_frame(services: Services, sender: Sender, message: Message) -> dict[str, object]:
    frame: bytes = message.get("bytes") or (message.get("text") or "").encode()
    limit = services.settings.limits.body_bytes
    if len(frame) > limit:
        return _error(f"the frame is larger than {limit} bytes: send less at once")
    try:
        items = decode_items(frame)
    except ItemError as error:
        return _error(str(error))
    return {"type": "fates", **_answer(await services.intake.take(items, sender))}


def _sender(caller: Principal, address: str) -> Sender:
    """Nobody can give a chatter a higher standing than they have."""
    highest: Role = "streamer" if caller.may("owner") else "moderator"
    return Sender(caller.token or address, highest)


def _answer(fates: Fates) -> dict[str, object]:
    return {
        "accepted": fates.count("accepted"),
        "repeated": fates.count("repeated"),
        "refused": fates.count("refused"),
        "items": msgspec.to_builtins(fates.items),
    }


def _error(message: str) -> dict[str, object]:
    return {"type": "error", "message": message}
