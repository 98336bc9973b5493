"""`/api/v1/…`: what the web app uses."""

import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from understudy.server.access import Moderator, Owner, ServicesDep
from understudy.server.bodies import OverlayKeyBody
from understudy.server.problems import Problem
from understudy.storage.chat_log import ArchivedMessage

router = APIRouter(prefix="/api/v1", tags=["web app"])

MAX_PAGE = 1_000


@router.get("/status")
async def status(services: ServicesDep, _: Moderator) -> dict[str, object]:
    """The state of the co-host, its storage, and what is wrong."""
    stats = services.log.stats
    return {
        **services.state(),
        "uptime_s": round(time.monotonic() - services.started),
        "storage": msgspec.to_builtins(stats),
        "problems": services.problems(),
    }


@router.get("/messages")
async def messages(
    services: ServicesDep,
    _: Moderator,
    channel: str = "",
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    newest: bool = False,
) -> dict[str, object]:
    """A page of the chat archive in order of time, each message with its decision.

    `after` is the `next` of the page before; with `newest`, the newest message comes first.
    """
    page = await services.archive.messages(channel or None, after or None, limit, newest=newest)
    return {
        "messages": [_describe(message) for message in page],
        "next": page[-1].cursor if len(page) == limit else None,
    }


@router.get("/overlay-keys")
async def overlay_keys(services: ServicesDep, _: Owner) -> dict[str, object]:
    """The overlay keys, without the keys themselves."""
    return {"keys": msgspec.to_builtins(await services.overlay_keys.list())}


@router.post("/overlay-keys", status_code=201)
async def create_overlay_key(
    body: OverlayKeyBody, services: ServicesDep, _: Owner
) -> dict[str, str]:
    """A new read-only key for one overlay; it is shown this once."""
    key_id, key = await services.overlay_keys.create(body.overlay, body.label)
    return {"id": key_id, "key": key, "overlay": body.overlay}


@router.delete("/overlay-keys/{key_id}", status_code=204)
async def revoke_overlay_key(key_id: str, services: ServicesDep, _: Owner) -> Response:
    """Revoke an overlay key."""
    if not await services.overlay_keys.revoke(key_id):
        raise Problem(404, f"there is no overlay key {key_id!r}")
    return Response(status_code=204)


@router.post("/actions/{action}", tags=["actions"])
async def act(action: str, services: ServicesDep, _: Moderator) -> dict[str, object]:
    """One call for a hotkey: `mute`, `unmute`, `skip` the reply under way, or `panic` (both)."""
    skipped = 0
    match action:
        case "mute":
            await services.channels.mute(True)
        case "unmute":
            await services.channels.mute(False)
        case "skip":
            skipped = services.channels.skip()
        case "panic":
            skipped = services.channels.skip()
            await services.channels.mute(True)
        case _:
            raise Problem(404, f"there is no action {action!r}: use mute, unmute, skip or panic")
    return {"muted": services.channels.muted, "skipped": skipped}


def _describe(archived: ArchivedMessage) -> dict[str, object]:
    message = archived.message
    return {
        "id": message.id,
        "ts": message.ts,
        "channel": message.channel,
        "user": message.user,
        "name": message.display_name,
        "text": message.text,
        "role": message.role,
        "first": message.first,
        "decision": msgspec.to_builtins(archived.decision),
        "deleted": archived.deleted,
    }
