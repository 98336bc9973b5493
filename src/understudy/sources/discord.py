"""Text channels of a Discord server, read by a bot account.

Owns the meaning of Discord's messages, deletions and bans as events. The connection itself is
discord.py's (extra `discord`), which goes on after breaks by itself. Does not send anything.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from understudy.events import ChatMessage, Event, Moderation, Role, new_id, now_ms
from understudy.sources.base import Publish

if TYPE_CHECKING:
    import discord

logger = logging.getLogger(__name__)

PLATFORM: Final = "discord"
QUEUE_EVENTS: Final = 10_000
"""Events that may wait to be published; beyond it the newest are dropped, and that is told."""
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 60.0


class DiscordChat:
    """Messages of some text channels, each as a message of a stream channel.

    `channels` names the stream channel for each id of a text channel, `token` is the bot's. Ends
    when Discord refuses the bot; `problems` says why.
    """

    name = "discord"

    def __init__(self, token: str, channels: Mapping[int, str]) -> None:
        self._token = token
        self._channels = dict(channels)
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_EVENTS)
        self._dropped = 0
        self._problem = ""
        self._doing = "not connected"

    def describe(self) -> str:
        """One line for people: how many text channels, and whether it is connected."""
        return f"Discord, text channels: {len(self._channels)} ({self._doing})"

    def problems(self) -> list[str]:
        """What is wrong, one sentence each; empty when nothing is."""
        found = [f"Discord: {self._problem}"] if self._problem else []
        if self._dropped:
            found.append(f"Discord: {self._dropped} events came too fast and were dropped")
        return found

    async def run(self, publish: Publish) -> None:
        """Publish what is said until the task is cancelled or Discord refuses the bot."""
        publishing = asyncio.create_task(self._publish(publish), name="discord events")
        connecting = asyncio.create_task(self._stay_connected(), name="discord connection")
        try:
            done, _ = await asyncio.wait(
                [publishing, connecting], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            self._doing = "ended"
            for task in (publishing, connecting):
                task.cancel()
            await asyncio.gather(publishing, connecting, return_exceptions=True)

    async def _publish(self, publish: Publish) -> None:
        while True:
            await publish(await self._queue.get())

    async def _stay_connected(self) -> None:
        """Keep a client running; returns when Discord refuses the bot."""
        import aiohttp
        import discord

        failures = 0
        while True:
            try:
                async with self._client() as client:
                    await client.start(self._token)
                return
            except discord.LoginFailure:
                self._note("the bot's token is not accepted: check discord.token")
                return
            except discord.PrivilegedIntentsRequired:
                self._note("switch on the bot's Message Content Intent in the developer portal")
                return
            except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
                self._note(f"it cannot be reached ({type(error).__name__})")
            failures += 1
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**failures)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator["discord.Client", None]:
        client = self._make_client()
        try:
            yield client
        finally:
            await client.close()

    def _make_client(self) -> "discord.Client":
        """A client of discord.py that hands what it hears to this source."""
        import discord

        source = self

        class Client(discord.Client):
            async def on_connect(self) -> None:
                source.note_connection(True)

            async def on_resumed(self) -> None:
                source.note_connection(True)

            async def on_disconnect(self) -> None:
                source.note_connection(False)

            async def on_message(self, message: discord.Message) -> None:
                source.hear(message)

            async def on_raw_message_delete(self, gone: discord.RawMessageDeleteEvent) -> None:
                source.remove(gone.channel_id, gone.message_id)

            async def on_raw_bulk_message_delete(
                self, gone: discord.RawBulkMessageDeleteEvent
            ) -> None:
                for message_id in sorted(gone.message_ids):
                    source.remove(gone.channel_id, message_id)

            async def on_member_ban(
                self, guild: discord.Guild, user: discord.User | discord.Member
            ) -> None:
                source.ban(guild, user)

        intents = discord.Intents.none()
        intents.guilds = intents.guild_messages = True
        intents.message_content = intents.moderation = True
        # Nothing is looked up later, so nothing need be kept.
        return Client(intents=intents, max_messages=None, chunk_guilds_at_startup=False)

    def note_connection(self, connected: bool) -> None:
        """Note that the connection stands, or is being made again."""
        self._doing = "connected" if connected else "connecting"
        if connected:
            self._problem = ""

    def hear(self, message: "discord.Message") -> None:
        """Take in a message of a channel that is read; bots and notices of Discord are none."""
        channel = self._channels.get(message.channel.id)
        if channel is None or message.author.bot or message.webhook_id is not None:
            return
        if (event := chat_message(message, channel)) is not None:
            self._put(event)

    def remove(self, channel_id: int, message_id: int) -> None:
        """Take in that a message was deleted."""
        channel = self._channels.get(channel_id)
        if channel is not None:
            self._put(
                Moderation(
                    id=f"{message_id}:deleted",
                    channel=channel,
                    ts=now_ms(),
                    kind="delete",
                    message_id=str(message_id),
                )
            )

    def ban(self, guild: "discord.Guild", user: "discord.User | discord.Member") -> None:
        """Take in that somebody was banned from a server some of whose channels are read."""
        here = {name for number, name in self._channels.items() if guild.get_channel(number)}
        for channel in sorted(here):
            act_id = new_id(f"{user.id}:ban:")
            self._put(
                Moderation(id=act_id, channel=channel, ts=now_ms(), kind="ban", user=user.name)
            )

    def _put(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._dropped += 1

    def _note(self, problem: str) -> None:
        self._doing = "not connected"
        self._problem = problem
        logger.warning("Discord: %s", problem)


def chat_message(message: "discord.Message", channel: str) -> ChatMessage | None:
    """The message as an event of `channel`; None when nobody said anything."""
    import discord

    said = message.type in (discord.MessageType.default, discord.MessageType.reply)
    text = message.clean_content
    if not said or not text.strip():
        return None
    reply_to, reply_to_user = _replied_to(message)
    name = message.author.display_name
    return ChatMessage(
        id=str(message.id),
        channel=channel,
        ts=int(message.created_at.timestamp() * 1000),
        user=message.author.name,
        name="" if name == message.author.name else name,
        text=text,
        platform=PLATFORM,
        role=_role(message),
        reply_to=reply_to,
        reply_to_user=reply_to_user,
        tags={"user-id": str(message.author.id), "text-channel": str(message.channel)},
    )


def _replied_to(message: "discord.Message") -> tuple[str, str]:
    """Id and author of the message this one replies to."""
    import discord

    reference = message.reference
    if message.type is not discord.MessageType.reply or reference is None:
        return "", ""
    original = reference.resolved
    author = original.author.name if isinstance(original, discord.Message) else ""
    return str(reference.message_id or ""), author


def _role(message: "discord.Message") -> Role:
    """The server's owner is the streamer; who may remove messages of others, a moderator."""
    import discord

    author = message.author
    if not isinstance(author, discord.Member):
        return "viewer"
    if author.guild.owner_id == author.id:
        return "streamer"
    may = author.guild_permissions
    if may.administrator or may.manage_messages or may.moderate_members:
        return "moderator"
    return "subscriber" if author.premium_since is not None else "viewer"
