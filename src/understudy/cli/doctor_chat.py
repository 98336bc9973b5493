"""The doctor's checks of where chat comes from, where it is copied to, and who reads its mood."""

import asyncio
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from understudy.cli.findings import Check, Finding

if TYPE_CHECKING:
    from understudy.config import Settings

CONNECT_SECONDS = 5.0
_PORTS = {"wss": 443, "https": 443, "ws": 80, "http": 80, "tcp": 6667}


async def _twitch(settings: "Settings") -> Finding:
    from understudy.sources.twitch.irc import TwitchIrc

    twitch = settings.twitch
    try:
        channels = TwitchIrc(twitch.channels, twitch.irc_url).channels
    except ValueError as error:
        return Finding("twitch", "broken", str(error))
    if channels and (trouble := await _unreachable(twitch.irc_url, "twitch.irc_url")):
        return Finding("twitch", "broken", trouble)
    state, login = await _twitch_login(settings)
    read = f"reads {', '.join(channels)}" if channels else "no channel is read: set twitch.channels"
    return Finding("twitch", state, f"{read}; {login}")


async def _twitch_login(settings: "Settings") -> tuple[str, str]:
    """The state of the stored login, and what it is; Twitch itself is not asked."""
    from understudy.sources.twitch.errors import TokenFileError
    from understudy.sources.twitch.scopes import WRITE_CHAT
    from understudy.sources.twitch.token_file import NAME, TokenFile

    twitch = settings.twitch
    if not twitch.client_id:
        if twitch.send:
            return "broken", "twitch.send needs a login: set twitch.client_id"
        return "ok", "without an account"
    try:
        token = await TokenFile(settings.data_dir / NAME).read()
    except TokenFileError as error:
        return "broken", str(error)
    if token is None:
        return "warning" if twitch.send else "ok", "nobody is logged in: use the page Channels"
    if token.client_id != twitch.client_id:
        return "warning", "the login is of another twitch.client_id: log in again"
    if twitch.send and WRITE_CHAT not in token.scopes:
        return "warning", f"logged in as {token.login}, but not to write: log in again"
    return "ok", f"logged in as {token.login}"


async def _youtube(settings: "Settings") -> Finding:
    from understudy.sources.youtube.source import video_id

    youtube = settings.youtube
    if not youtube.video:
        return Finding("youtube", "ok", "nothing is read: set youtube.video to read a live chat")
    try:
        video = video_id(youtube.video)
    except ValueError as error:
        return Finding("youtube", "broken", str(error))
    if not (youtube.api_key.get_secret_value() or youtube.access_token.get_secret_value()):
        return Finding("youtube", "broken", "youtube.video needs a key: set youtube.api_key")
    if trouble := await _unreachable(youtube.url, "youtube.url"):
        return Finding("youtube", "broken", trouble)
    return Finding("youtube", "ok", f"reads the chat of {video}")


async def _discord(settings: "Settings") -> Finding:
    discord = settings.discord
    if not discord.token.get_secret_value():
        return Finding("discord", "ok", "nothing is read: set discord.token to read a server")
    if find_spec("discord") is None:
        need = "discord.token needs a package: pip install 'understudy[discord]'"
        return Finding("discord", "broken", need)
    if not discord.channels:
        return Finding("discord", "warning", "no channel is read: set discord.channels")
    return Finding("discord", "ok", f"reads {', '.join(discord.channels.values())}")


async def _mongo(settings: "Settings") -> Finding:
    from understudy.storage.mongo_client import MongoError, explain, open_client, place_of

    url = settings.mongo.url.get_secret_value()
    if not url:
        return Finding("mongo", "ok", "no copy of the chat: set mongo.url to keep one")
    try:
        client = open_client(url)
    except MongoError as error:
        return Finding("mongo", "broken", str(error))
    try:
        await client.admin.command("ping")
    except Exception as error:
        if (known := explain(error, url)) is None:
            raise
        return Finding("mongo", "broken", str(known))
    finally:
        await client.close()
    return Finding("mongo", "ok", f"a copy of the chat goes to {place_of(url)}")


async def _mood(settings: "Settings") -> Finding:
    from understudy.learning.mood_model import open_mood_model
    from understudy.mood.choice import choose_classifier

    if not settings.mood.enabled:
        return Finding("mood", "ok", "off")
    choice = choose_classifier(settings, partial(open_mood_model, settings))
    if choice.problem:
        return Finding("mood", "warning", choice.problem)
    if choice.classifier is None:
        return Finding("mood", "ok", "read with the word lists")
    name = choice.classifier.name
    await choice.classifier.aclose()
    return Finding("mood", "ok", f"read by {name}")


async def _unreachable(url: str, setting: str) -> str:
    """Why no connection to `url` comes about; empty when one does."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
    except ValueError:
        return f"{setting} is no address: correct it"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, UnicodeError):
        return f"{host}:{port} cannot be reached: check the network and {setting}"
    writer.close()
    return ""


CHAT_CHECKS: tuple[Check, ...] = (_twitch, _youtube, _discord, _mongo, _mood)
"""In the order of the sections of the settings."""
