"""Discord as a bot sees it, over real sockets: the few HTTP routes of a login, and the gateway.

Speaks the gateway's protocol, version 10, uncompressed: hello, identify, ready, heartbeats, resume
and dispatched events with sequence numbers. Knows one server with two text channels.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest.mock import patch

import msgspec
from aiohttp import WSMsgType, web

TOKEN = "MTAw.a-token-for-tests.x"
TS = 1_795_284_000_250
_DISCORD_EPOCH = 1_420_070_400_000


def snowflake(number: int) -> str:
    """The id of something made at `TS`: Discord's ids hold the time, in ms, above 22 bits."""
    return str(((TS - _DISCORD_EPOCH) << 22) + number)


GUILD, CHAT, OTHER, MODERATORS, APPLICATION = (snowflake(number) for number in range(1001, 1006))
BOT = {
    "id": APPLICATION,
    "username": "understudy",
    "discriminator": "0",
    "avatar": None,
    "bot": True,
}
OWNER = {
    "id": snowflake(2001),
    "username": "ana",
    "discriminator": "0",
    "avatar": None,
    "global_name": "Ana",
}
KIM = {**OWNER, "id": snowflake(2002), "username": "kim", "global_name": "Kim ✨"}
MANAGE_MESSAGES = 1 << 13


def member(user: dict[str, Any], *roles: str) -> dict[str, Any]:
    """The member part of a message's payload."""
    return {
        "roles": list(roles),
        "joined_at": "2026-01-01T00:00:00+00:00",
        "deaf": False,
        "mute": False,
        "flags": 0,
        "user": user,
    }


def message(
    number: int, content: str, user: dict[str, Any] = KIM, **changes: Any
) -> dict[str, Any]:
    """The payload of MESSAGE_CREATE, with the id `snowflake(number)`."""
    return {
        "id": snowflake(number),
        "type": 0,
        "channel_id": CHAT,
        "guild_id": GUILD,
        "author": user,
        "member": member(user),
        "content": content,
        "timestamp": "2026-11-21T18:00:00.250000+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        **changes,
    }


class FakeDiscord:
    """Listens on a loopback port from `async with` on; inside, discord.py goes there.

    `close_code` refuses identification with that code. `identified` holds what bots said of
    themselves, `resumed` counts sessions that were gone on with.
    """

    def __init__(self) -> None:
        self.identified: list[dict[str, Any]] = []
        self.resumed = 0
        self.close_code = 0
        self.ready = asyncio.Event()
        self._sent: list[str] = []
        self._socket: web.WebSocketResponse | None = None
        self._runner: web.AppRunner | None = None
        self._patches: Any = None
        self.origin = ""

    async def dispatch(self, kind: str, data: object) -> None:
        """Send an event to the bot, or keep it until it resumes."""
        self._sent.append("")
        frame = {"op": 0, "t": kind, "s": len(self._sent), "d": data}
        self._sent[-1] = msgspec.json.encode(frame).decode()
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_str(self._sent[-1])

    async def cut(self) -> None:
        """Break the bot's connection; it may resume."""
        assert self._socket is not None
        socket, self._socket = self._socket, None
        await socket.close(code=4000)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/users/@me", self._me),
                web.get("/api/oauth2/applications/@me", self._application),
                web.get("/api/gateway", self._gateway_url),
                web.get("/api/gateway/bot", self._gateway_url),
                web.get("/gateway/", self._gateway),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.origin = f"127.0.0.1:{port}"
        self._patches = _redirected(self.origin)
        self._patches.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._patches.__exit__(None, None, None)
        assert self._runner is not None
        await self._runner.cleanup()

    async def _me(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        return _json(BOT)

    async def _application(self, _: web.Request) -> web.Response:
        return _json(
            {
                "id": APPLICATION,
                "name": "understudy",
                "icon": None,
                "description": "",
                "bot_public": False,
                "bot_require_code_grant": False,
                "verify_key": "",
                "owner": OWNER,
                "flags": 1 << 19,
            }
        )

    async def _gateway_url(self, _: web.Request) -> web.Response:
        limits = {"total": 9, "remaining": 9, "reset_after": 0, "max_concurrency": 1}
        url = f"ws://{self.origin}/gateway/"
        return _json({"url": url, "shards": 1, "session_start_limit": limits})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self._send(socket, {"op": 10, "d": {"heartbeat_interval": 45_000}})
        async for frame in socket:
            if frame.type is WSMsgType.TEXT:
                await self._answer(socket, msgspec.json.decode(frame.data))
        return socket

    async def _answer(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        match frame["op"]:
            case 1:
                await self._send(socket, {"op": 11})
            case 2:
                self.identified.append(frame["d"])
                if self.close_code:
                    await socket.close(code=self.close_code)
                    return
                self._socket, self._sent = socket, []
                await self._begin()
            case 6:
                self.resumed += 1
                self._socket = socket
                for missed in self._sent[frame["d"]["seq"] :]:
                    await socket.send_str(missed)
                await self.dispatch("RESUMED", {})
                self.ready.set()

    async def _begin(self) -> None:
        guild = {"id": GUILD, "unavailable": True}
        await self.dispatch(
            "READY",
            {
                "v": 10,
                "user": BOT,
                "guilds": [guild],
                "session_id": "session",
                "resume_gateway_url": f"ws://{self.origin}/gateway/",
                "application": {"id": APPLICATION, "flags": 1 << 19},
            },
        )
        await self.dispatch("GUILD_CREATE", _guild())
        self.ready.set()

    async def _send(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        await socket.send_str(msgspec.json.encode({"s": None, "t": None, **frame}).decode())


def _json(data: object, *, status: int = 200) -> web.Response:
    # Discord names no charset, and discord.py takes nothing else for JSON.
    body = msgspec.json.encode(data)
    return web.Response(body=body, status=status, content_type="application/json")


def _guild() -> dict[str, Any]:
    def role(role_id: str, name: str, permissions: int) -> dict[str, Any]:
        return {
            "id": role_id,
            "name": name,
            "permissions": str(permissions),
            "position": 0,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }

    def channel(channel_id: str, name: str) -> dict[str, Any]:
        return {
            "id": channel_id,
            "type": 0,
            "name": name,
            "position": 0,
            "permission_overwrites": [],
            "nsfw": False,
        }

    return {
        "id": GUILD,
        "name": "Ana's place",
        "owner_id": OWNER["id"],
        "roles": [role(GUILD, "@everyone", 0), role(MODERATORS, "mods", MANAGE_MESSAGES)],
        "channels": [channel(CHAT, "stream-chat"), channel(OTHER, "elsewhere")],
        "members": [member(BOT)],
        "member_count": 3,
        "emojis": [],
        "stickers": [],
        "features": [],
        "threads": [],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "system_channel_flags": 0,
        "preferred_locale": "en-US",
        "afk_timeout": 300,
        "large": False,
        "unavailable": False,
    }


@contextmanager
def _redirected(origin: str) -> Iterator[None]:
    """Have discord.py, whose addresses are constants, talk to `origin`."""
    import yarl
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

    gateway = yarl.URL(f"ws://{origin}/gateway/")
    with (
        patch.object(Route, "BASE", f"http://{origin}/api"),
        patch.object(DiscordWebSocket, "DEFAULT_GATEWAY", gateway),
    ):
        yield
