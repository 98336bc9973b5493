"""The composition root: builds the rooms from the settings, wires them, starts and stops them.

Owns the order. Start: database, log writer, archive and feed, brain, engine. Stop: no new input,
replies get their end frames, the bus runs dry, the log is flushed, the database closes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from understudy.app.learning import TrainedVersions
from understudy.app.live_chat import LiveChat
from understudy.app.turn_builder import Ground, TurnBuilder
from understudy.brains.budget import Budget
from understudy.brains.choice import Choice, choose
from understudy.brains.prices import load_prices
from understudy.brains.router import Router
from understudy.brains.scripted import Recall
from understudy.bus import Bus
from understudy.config import Settings, SettingsError
from understudy.engine.archive import Archive
from understudy.engine.channels import Channels
from understudy.engine.commands import Commands
from understudy.engine.personas import Personas
from understudy.engine.sessions import SessionManager
from understudy.engine.statistics import EmoteReader, with_known_emotes
from understudy.engine.tools.approvals import Approvals
from understudy.engine.tools.base import Caller, Tool, ToolRecord
from understudy.engine.tools.builtin import own_tools
from understudy.engine.tools.mcp import McpServers
from understudy.engine.tools.toolbox import Toolbox
from understudy.learning.feedback import Feedback
from understudy.learning.liked_replies import LikedReplies
from understudy.mood.channel_words import ChannelWords
from understudy.mood.choice import meter_settings
from understudy.mood.curve import MoodCurves
from understudy.mood.tokens import TokenReader
from understudy.mood.word_lists import built_in_lists
from understudy.outputs.live import LiveFeed
from understudy.safety.limits import RateLimiter
from understudy.server.audience import Audiences
from understudy.server.auth import load_secret
from understudy.server.metrics import Metrics
from understudy.server.services import Limits, Services
from understudy.sources.rehearsal import RehearsalParts, Rehearsals
from understudy.sources.twitch.chat import emotes_of
from understudy.storage.chat_log import ChatArchive
from understudy.storage.contexts import Contexts
from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.mongo import MongoArchive
from understudy.storage.overlay_keys import OverlayKeys
from understudy.storage.reactions import Reactions
from understudy.storage.sessions import Sessions
from understudy.storage.usage import UsageDays

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""How long a stop waits for the last rows when the disk refuses them."""


class Application:
    """Everything that runs in one process; use it as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._exit = AsyncExitStack()
        self._services: Services | None = None

    @property
    def services(self) -> Services:
        """The wired rooms; only while the application runs."""
        if self._services is None:
            raise RuntimeError("the application is not started")
        return self._services

    async def __aenter__(self) -> "Application":
        """Start everything in order; what was started is stopped again when a step fails."""
        try:
            self._services = await self._start()
            await self.versions.start()
            # Last, because from here on events come.
            await self._live.start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything in the opposite order."""
        await self._exit.aclose()
        self._services = None

    async def quiesce(self) -> None:
        """Take no more work and end what is under way, each reply with its end frame."""
        services = self.services
        await services.sources.close()
        await asyncio.gather(
            services.rehearsals.close(), services.turns.close(), services.oneoffs.close()
        )
        await services.channels.close()
        await services.bus.drained()
        await services.feed.close()

    async def _start(self) -> Services:
        settings = self.settings
        if settings.bus.url:
            raise SettingsError("bus.url is not supported yet: leave it empty")
        database = await Database.open(settings.database_url)
        self._exit.push_async_callback(database.close)
        mongo = self._open_mongo(database)
        log = LogWriter(database, queue_rows=settings.storage.queue_rows)
        await log.start()
        self._exit.push_async_callback(_flush, log)
        bus = Bus()
        archive = Archive(bus, log)
        archive.start()
        self._exit.push_async_callback(archive.close)
        feed = LiveFeed(bus)
        feed.start()
        self._exit.push_async_callback(feed.close)
        personas = Personas(settings.data_dir / "personas")
        personas.get(settings.persona.default)
        self._own(personas.watch, "persona watcher")
        liked = LikedReplies(Experiences(database), settings.learning)
        choice, router = await self._open_brain(database, liked.recall)
        ground = Ground(database, log, bus, feed, personas, liked, choice, router, mongo)
        return self._wire(ground)

    def _open_mongo(self, database: Database) -> MongoArchive | None:
        """The copy of the chat in MongoDB, if it is asked for; it is closed after the log."""
        url = self.settings.mongo.url.get_secret_value()
        if not url:
            return None
        mongo = MongoArchive(url, database)
        mongo.start()
        self._exit.push_async_callback(mongo.close)
        return mongo

    async def _open_brain(self, database: Database, recall: Recall) -> tuple[Choice, Router]:
        """The brain that answers, with what was spent before."""
        settings = self.settings
        choice = await choose(settings.brain)
        budget = Budget(
            UsageDays(database),
            daily=settings.brain.daily_budget,
            channel_daily=settings.brain.channel_daily_budget,
        )
        await budget.start()
        self._exit.push_async_callback(budget.close)
        prices = load_prices(settings.data_dir / "prices.yaml")
        router = Router.from_settings(
            choice.settings, why=choice.why, recall=recall, budget=budget, prices=prices
        )
        self._exit.push_async_callback(router.aclose)
        return choice, router

    def _wire(self, ground: "Ground") -> Services:
        settings, database, log = self.settings, ground.database, ground.log
        bus, personas, router = ground.bus, ground.personas, ground.router
        contexts = Contexts(database)
        sessions = SessionManager(Sessions(database))
        chat = ChatArchive(database)
        metrics = Metrics()
        versions = self.versions = TrainedVersions(settings, database, router)
        self._exit.push_async_callback(versions.close)
        build = TurnBuilder(settings, ground, sessions, metrics.observe, versions.choice.choose)
        servers = self._start_tool_servers()
        approvals = Approvals(settings.tools.approval_seconds)
        toolbox = _toolbox(settings, sessions, chat, servers, approvals, metrics.observe_call)
        turns = build(router, bus.publish, toolbox=toolbox)
        oneoffs = build.oneoffs(router)
        metrics.watch(turns, oneoffs, log, bus)
        channels = Channels()
        emotes = with_known_emotes(emotes_of, TokenReader(built_in_lists()).is_emote)
        feedback = Feedback(Experiences(database), log)
        live = self._live = LiveChat(
            settings, database, bus, channels, sessions, turns, emotes, feedback
        )
        self._exit.push_async_callback(live.close)
        self._own(live.words.watch, "mood words")
        services = Services(
            settings=settings,
            secret=load_secret(settings),
            database=database,
            bus=bus,
            log=log,
            contexts=contexts,
            archive=chat,
            experiences=Experiences(database),
            feedback=feedback,
            reactions=Reactions(database),
            overlay_keys=OverlayKeys(database),
            sessions=sessions,
            personas=personas,
            commands=Commands(sessions, contexts, router, output_filter=build.output_filter),
            router=router,
            choice=ground.choice,
            turns=turns,
            oneoffs=oneoffs,
            approvals=approvals,
            channels=channels,
            live=live.channels,
            sources=live.sources,
            intake=live.intake,
            twitch=live.twitch.login if live.twitch else None,
            statistics=live.statistics,
            feed=ground.feed,
            audiences=Audiences(ground.feed),
            rehearsals=_rehearsals(settings, channels, build, bus, emotes),
            limits=_limits(settings),
            metrics=metrics,
            problems=partial(_problems, ground, servers, live, versions),
            ready=partial(_ready, database, log),
        )
        self._exit.push_async_callback(self._quiesce_once)
        return services

    def _start_tool_servers(self) -> McpServers:
        servers = McpServers(self.settings.tools.servers)
        servers.start()
        self._exit.push_async_callback(servers.close)
        return servers

    async def _quiesce_once(self) -> None:
        if self._services is not None:
            await self.quiesce()

    def _own(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Run `work` in a task that ends with the application."""

        async def run() -> None:
            try:
                await work()
            except OSError as error:
                logger.warning("%s ended: %s", name, error)

        task = asyncio.create_task(run(), name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._exit.push_async_callback(end)


def _toolbox(
    settings: Settings,
    sessions: SessionManager,
    chat: ChatArchive,
    servers: McpServers,
    approvals: Approvals,
    on_call: Callable[[ToolRecord], None],
) -> Toolbox:
    async def began(caller: Caller) -> int | None:
        return (await sessions.get(caller.session)).created_at if caller.session else None

    own = (
        own_tools(settings.tools.time_zone, chat, began, bots=settings.director.bots)
        if settings.tools.builtin
        else ()
    )

    def tools() -> list[Tool]:
        return [*own, *servers.tools()]

    return Toolbox(tools, settings.tools, approvals, on_call=on_call)


def _rehearsals(
    settings: Settings,
    channels: Channels,
    build: TurnBuilder,
    bus: Bus,
    emotes: EmoteReader,
) -> Rehearsals:
    async def settled() -> None:
        await bus.drained()
        await build.log.flushed()

    def make_moods() -> MoodCurves:
        return MoodCurves(ChannelWords(settings.data_dir / "mood"), meter_settings(settings))

    parts = RehearsalParts(
        settings=settings,
        channels=channels,
        sessions=build.sessions,
        publish=bus.publish,
        settled=settled,
        make_turns=build.for_rehearsal,
        emotes_of=emotes,
        make_moods=make_moods if settings.mood.enabled else None,
    )
    return Rehearsals(parts, settings.data_dir / "rehearsals")


async def _flush(log: LogWriter) -> None:
    """Make the last rows durable; what the disk refuses is told, and the stop goes on."""
    try:
        await log.close(within=FLUSH_SECONDS)
    except StorageError as error:
        logger.error("%s", error)


def _problems(
    ground: Ground, servers: McpServers, live: LiveChat, versions: TrainedVersions
) -> list[str]:
    """What the operator should look at, one sentence each."""
    personas = [f"{file}: {problem}" for file, problem in ground.personas.problems.items()]
    log = [ground.log.stats.last_error] if ground.log.stats.last_error else []
    mongo = ground.mongo.problems() if ground.mongo else []
    models = [*ground.router.problems(), *versions.problems(), *servers.problems()]
    return [*personas, *log, *mongo, *models, *live.problems()]


async def _ready(database: Database, log: LogWriter) -> dict[str, str]:
    """Each part a server depends on: `ok`, or what is wrong with it."""
    return {"database": await _reach(database), "log": log.stats.last_error or "ok"}


async def _reach(database: Database) -> str:
    """`ok`, or in one sentence why the database cannot be read."""
    try:
        await database.schema_version()
    except StorageError as error:
        return str(error)
    return "ok"


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        address=RateLimiter(limits.per_address, limits.burst),
        session=RateLimiter(limits.per_session, limits.burst),
        token=RateLimiter(limits.per_token, limits.burst),
    )
