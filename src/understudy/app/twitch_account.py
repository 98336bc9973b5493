"""The account that is logged in to Twitch, and everything that acts under it.

Owns the making of these parts, the order in which they start and stop, and which messages of the
chat are the co-host's own. Does not own the login (`sources.twitch.auth`) nor the chat that is
read without one (`live_chat`).
"""

from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec

from understudy.bus import Bus
from understudy.config import Settings, SettingsError
from understudy.engine.channel import StreamInput
from understudy.events import ChatMessage
from understudy.outputs.chat import ChatOutput
from understudy.sources.base import Source
from understudy.sources.twitch import scopes, token_file
from understudy.sources.twitch.auth import TwitchAuth
from understudy.sources.twitch.errors import MissingScope
from understudy.sources.twitch.eventsub import TwitchEventSub
from understudy.sources.twitch.helix import Helix
from understudy.sources.twitch.irc import channel_name
from understudy.sources.twitch.login import TwitchLogin
from understudy.sources.twitch.moderating import ChatModerator
from understudy.sources.twitch.sending import ChatSender

_NOBODY = "twitch.send is on, but nobody is logged in to Twitch: log in on the page Channels"


class TwitchAccount:
    """What needs `twitch.client_id`; `start` it before its `sources` run, `close` it after."""

    def __init__(self, settings: Settings, bus: Bus, *, is_muted: Callable[[], bool]) -> None:
        """Raises `SettingsError` for a channel whose name is none."""
        twitch = settings.twitch
        self._cohost = settings.persona.name.casefold()
        token = settings.data_dir / token_file.NAME
        self._auth = TwitchAuth(twitch.id_url, twitch.client_id, token)
        self._helix = Helix(twitch.helix_url, self._auth)
        self._sender = ChatSender(self._helix, self._auth)
        self._exit = AsyncExitStack()
        self.login = TwitchLogin(self._auth)
        self.moderator = ChatModerator(self._helix, self._auth)
        channels = self._channels = channel_names(settings)
        self.sources: list[Source] = []
        if channels:
            self.sources.append(
                TwitchEventSub(
                    twitch.eventsub_url, self._helix, self._auth, channels, beside_irc=True
                )
            )
        self._output: ChatOutput | None = None
        if twitch.send:
            self._output = ChatOutput(
                bus, self._sender, self.moderator, channels, is_muted=is_muted
            )

    async def start(self) -> None:
        """Take up the stored login, and begin to say replies where that is wanted."""
        self._exit.push_async_callback(self._auth.aclose)
        self._exit.push_async_callback(self._helix.aclose)
        self._exit.push_async_callback(self.login.aclose)
        await self._auth.start()
        self._sender.start()
        self._exit.push_async_callback(self._sender.aclose)
        if self._output is not None:
            self._output.start()
            self._exit.push_async_callback(self._output.close)

    async def close(self) -> None:
        """Say the last words, then let go of Twitch; the login stays stored."""
        await self._exit.aclose()

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each."""
        problems = self._auth.problems()
        if self._output is None:
            return problems
        return [*(problems or self._why_silent()), *self._output.problems()]

    def name(self) -> str:
        """The login under which nobody but the co-host writes; empty when there is none.

        A streamer may be logged in as themselves: then it is not the name that tells who writes.
        """
        login = self._auth.login
        if login is None or self._output is None or login.login in self._channels:
            return ""
        return login.login

    def recognise(self, event: StreamInput) -> StreamInput | None:
        """The event as it is to be handled; None for what the co-host itself has said.

        A reply to one of its messages names it, whatever account they were sent by.
        """
        if not isinstance(event, ChatMessage):
            return event
        login, own = self._auth.login, self._sender.own
        if login is not None and event.user == login.login and own.hands_back(event):
            return None
        if event.reply_to and own.is_answered_by(event):
            return msgspec.structs.replace(event, reply_to_user=self._cohost)
        return event

    def _why_silent(self) -> list[str]:
        """What keeps replies out of the chat as long as the login is as it is."""
        login = self._auth.login
        if login is None:
            return [_NOBODY]
        try:
            login.require(scopes.WRITE_CHAT, "send to the chat")
        except MissingScope as error:
            return [str(error)]
        return []


def channel_names(settings: Settings) -> list[str]:
    """The logins of the channels that are read on Twitch; raises `SettingsError`."""
    try:
        return list(dict.fromkeys(channel_name(channel) for channel in settings.twitch.channels))
    except ValueError as error:
        raise SettingsError(str(error)) from None
