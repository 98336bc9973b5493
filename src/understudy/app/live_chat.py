"""The live half of the application: where chat comes from, and what follows it beside answers."""

import logging
from contextlib import AsyncExitStack
from importlib.util import find_spec

from understudy.app.learning import follow_audience
from understudy.bus import Bus
from understudy.config import Settings, SettingsError
from understudy.engine.channel import Channel, StreamInput
from understudy.engine.channels import Channels
from understudy.engine.live_channels import ChannelRefused, LiveChannels
from understudy.engine.live_statistics import LiveStatistics
from understudy.engine.sessions import SessionManager
from understudy.engine.statistics import EmoteReader
from understudy.engine.turns import Turns
from understudy.events import Event
from understudy.learning.feedback import Feedback
from understudy.mood.channel_words import ChannelWords
from understudy.mood.classifier import MoodClassifier
from understudy.mood.errors import MoodError
from understudy.mood.history import MoodHistory
from understudy.mood.meter import MeterSettings
from understudy.mood.models import MoodModels
from understudy.mood.monitor import MoodMonitor
from understudy.mood.trained import TrainedClassifier
from understudy.sources.base import Source
from understudy.sources.discord import DiscordChat
from understudy.sources.intake import Intake
from understudy.sources.runner import SourceRunner
from understudy.sources.twitch.irc import TwitchIrc
from understudy.sources.youtube import YouTubeApi, YouTubeChat
from understudy.storage.engine import Database
from understudy.storage.mood import MoodRollups

logger = logging.getLogger(__name__)


class LiveChat:
    """Sources, the mood and the statistics; `start` it, `close` it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bus: Bus,
        channels: Channels,
        sessions: SessionManager,
        turns: Turns,
        emotes_of: EmoteReader,
        feedback: Feedback,
    ) -> None:
        """Raises `SettingsError` for a source that cannot be set up as it is."""
        self._settings = settings
        self._sessions = sessions
        self._turns = turns
        self._bus = bus
        self._exit = AsyncExitStack()
        self.channels = LiveChannels(channels, self._make_channel)
        self.intake = Intake(self.publish)
        self.sources = SourceRunner(_sources(settings), self.publish)
        self.statistics = LiveStatistics(bus, emotes_of=emotes_of, bots=settings.director.bots)
        self._words = ChannelWords(settings.data_dir / "mood")
        self._history = MoodHistory(MoodRollups(database))
        self._mood = _mood(settings, bus, self._words, self._history)
        self._audience = follow_audience(
            settings, database, bus, self.channels, feedback, self._words
        )

    async def start(self) -> None:
        """Begin to follow the chat, then to read it."""
        self.statistics.start()
        self._exit.push_async_callback(self.statistics.close)
        if self._mood is not None:
            self._history.start()
            self._exit.push_async_callback(self._history.close)
            self._mood.start()
            self._exit.push_async_callback(self._mood.close)
        if self._audience is not None:
            self._audience.start()
            self._exit.push_async_callback(self._audience.close)
        for name in self._settings.twitch.channels:
            await self.channels.open(name.lower().lstrip("#"))
        self.sources.start()

    async def close(self) -> None:
        """Stop what follows the chat; the sources are stopped before, with `sources.close`."""
        await self.sources.close()
        await self._exit.aclose()

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each."""
        return [*self.sources.problems(), *self._words.problems.values()]

    async def publish(self, event: Event) -> None:
        """Hand an event of a source to its channel."""
        if not isinstance(event, StreamInput):
            raise TypeError(f"a source published a {type(event).__name__}")
        try:
            await self.channels.receive(event)
        except ChannelRefused as error:
            logger.warning("%s of %s is left out: %s", event.id, event.channel, error)
            raise

    async def _make_channel(self, name: str) -> Channel:
        channel = Channel(name, self._settings, self._turns, self._bus.publish)
        persona = self._settings.persona.default
        await self._sessions.get_or_create(channel.session, "chat", persona, channel=name)
        return channel


def _sources(settings: Settings) -> list[Source]:
    sources: list[Source] = []
    try:
        if settings.twitch.channels:
            sources.append(TwitchIrc(settings.twitch.channels, settings.twitch.irc_url))
        if settings.youtube.video:
            sources.append(_youtube(settings))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if token := settings.discord.token.get_secret_value():
        if find_spec("discord") is None:
            raise SettingsError("discord.token needs a package: pip install 'understudy[discord]'")
        ids = {int(channel): name for channel, name in settings.discord.channels.items()}
        sources.append(DiscordChat(token, ids))
    return sources


def _youtube(settings: Settings) -> YouTubeChat:
    youtube = settings.youtube
    api = YouTubeApi(
        api_key=youtube.api_key.get_secret_value(),
        access_token=youtube.access_token.get_secret_value(),
        base_url=youtube.url,
    )
    return YouTubeChat(api, youtube.channel or "youtube", video=youtube.video)


def _mood(
    settings: Settings, bus: Bus, words: ChannelWords, history: MoodHistory
) -> MoodMonitor | None:
    mood = settings.mood
    if not mood.enabled:
        return None
    meter = MeterSettings(
        half_life=mood.half_life,
        viewer_cap=mood.viewer_cap,
        bots=(*settings.director.bots, settings.persona.name.casefold()),
        command_prefixes=(settings.director.command_prefix or "!", "/"),
    )
    return MoodMonitor(bus, words, meter, classifier=_classifier(settings), history=history)


def _classifier(settings: Settings) -> MoodClassifier | None:
    """The newest trained model; None where there is none, or none is wanted."""
    models = MoodModels(settings.data_dir / "models" / "mood")
    version = models.current() if settings.mood.classifier == "auto" else None
    if version is None or find_spec("numpy") is None:
        return None
    try:
        return TrainedClassifier(models.load(version), version)
    except MoodError as error:
        logger.warning("the mood is read with the word list: %s", error)
        return None
