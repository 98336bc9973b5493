"""The composition root: builds the rooms from the settings, wires them, starts and stops them.

Owns the order. Start: database, log writer, archive and feed, brain, engine. Stop: no new input,
replies get their end frames, the bus runs dry, the log is flushed, the database closes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from functools import partial

from understudy.brains.router import Router
from understudy.brains.scripted import Recall
from understudy.bus import Bus
from understudy.config import BrainSettings, Settings, SettingsError
from understudy.engine.archive import Archive
from understudy.engine.channels import Channels
from understudy.engine.clock import Clock
from understudy.engine.commands import Commands
from understudy.engine.personas import Personas
from understudy.engine.reply import EMOTIONS, ReplyStream
from understudy.engine.sessions import SessionManager
from understudy.engine.turns import Publish, Turns
from understudy.events import Reply
from understudy.outputs.live import LiveFeed
from understudy.safety.limits import RateLimiter
from understudy.safety.moderation import OutputFilter
from understudy.server.auth import load_secret
from understudy.server.metrics import Metrics
from understudy.server.services import Limits, Services
from understudy.sources.rehearsal import Rehearsals, Stagehands
from understudy.storage.chat_log import ChatArchive
from understudy.storage.contexts import Contexts
from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.experiences import Experiences, RatedAnswer
from understudy.storage.log_writer import LogWriter
from understudy.storage.overlay_keys import OverlayKeys
from understudy.storage.sessions import Sessions

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
        await asyncio.gather(services.rehearsals.close(), services.turns.close())
        await services.channels.close()
        await services.bus.drained()
        await services.feed.close()

    async def _start(self) -> Services:
        settings = self.settings
        if settings.bus.url:
            raise SettingsError("bus.url is not supported yet: leave it empty")
        database = await Database.open(settings.database_url)
        self._exit.push_async_callback(database.close)
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
        self._own(personas.watch, "persona watcher")
        return self._wire(database, log, bus, feed, personas)

    def _wire(
        self, database: Database, log: LogWriter, bus: Bus, feed: LiveFeed, personas: Personas
    ) -> Services:
        settings = self.settings
        personas.get(settings.persona.default)
        contexts = Contexts(database)
        experiences = Experiences(database)
        recall = _recall_from(experiences)
        router = Router.from_settings(settings.brain, recall=recall)
        self._exit.push_async_callback(router.aclose)
        sessions = SessionManager(Sessions(database))
        metrics = Metrics()
        build = _TurnBuilder(settings, sessions, personas, log, metrics.observe, recall)
        turns = build(router, bus.publish)
        metrics.watch(turns, log, bus)
        channels = Channels()
        services = Services(
            settings=settings,
            secret=load_secret(settings),
            database=database,
            bus=bus,
            log=log,
            contexts=contexts,
            archive=ChatArchive(database),
            experiences=experiences,
            overlay_keys=OverlayKeys(database),
            sessions=sessions,
            personas=personas,
            commands=Commands(sessions, contexts, router, output_filter=build.output_filter),
            router=router,
            turns=turns,
            channels=channels,
            feed=feed,
            rehearsals=_rehearsals(settings, channels, build, bus),
            limits=_limits(settings),
            metrics=metrics,
            problems=partial(_problems, personas, log),
            ready=partial(_ready, database, log),
        )
        self._exit.push_async_callback(self._quiesce_once)
        return services

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


class _TurnBuilder:
    """Makes `Turns` that differ only in clock, brain and where their events go."""

    def __init__(
        self,
        settings: Settings,
        sessions: SessionManager,
        personas: Personas,
        log: LogWriter,
        on_reply: Callable[[Reply], None],
        recall: Recall,
    ) -> None:
        self._settings = settings
        self.sessions = sessions
        self._personas = personas
        self.log = log
        self._on_reply = on_reply
        self._recall = recall
        self.output_filter = OutputFilter(settings.safety.blocked_words)

    def __call__(
        self,
        router: Router,
        publish: Publish,
        clock: Clock | None = None,
    ) -> Turns:
        return Turns(
            self._settings,
            router,
            self.sessions,
            self._personas,
            self.log,
            publish,
            reply_stream=self._reply_stream,
            clock=clock,
            on_reply=self._on_reply,
        )

    def for_rehearsal(
        self,
        clock: Clock,
        publish: Publish,
        seed: int,
        paced: bool,
    ) -> Turns:
        """Turns with a brain of their own: seeded, and without pauses unless `paced`."""
        changes: dict[str, object] = {"seed": seed}
        if not paced:
            changes["words_per_second"] = 0.0
        brain: BrainSettings = self._settings.brain.model_copy(update=changes)
        return self(Router.from_settings(brain, recall=self._recall), publish, clock)

    def _reply_stream(self, emotions: Collection[str]) -> ReplyStream:
        return ReplyStream(self.output_filter, {*EMOTIONS, *emotions})


def _rehearsals(
    settings: Settings, channels: Channels, build: _TurnBuilder, bus: Bus
) -> Rehearsals:
    async def settled() -> None:
        await bus.drained()
        await build.log.flushed()

    hands = Stagehands(
        settings=settings,
        channels=channels,
        sessions=build.sessions,
        publish=bus.publish,
        settled=settled,
        make_turns=build.for_rehearsal,
    )
    return Rehearsals(hands, settings.data_dir / "rehearsals")


async def _flush(log: LogWriter) -> None:
    """Make the last rows durable; what the disk refuses is told, and the stop goes on."""
    try:
        await log.close(within=FLUSH_SECONDS)
    except StorageError as error:
        logger.error("%s", error)


def _problems(personas: Personas, log: LogWriter) -> list[str]:
    """What the operator should look at, one sentence each."""
    found = [f"{file}: {problem}" for file, problem in personas.problems.items()]
    return [*found, log.stats.last_error] if log.stats.last_error else found


async def _ready(database: Database, log: LogWriter) -> dict[str, str]:
    """Each part a server depends on: `ok`, or what is wrong with it."""
    return {"database": await _reach(database), "log": log.stats.last_error or "ok"}


def _recall_from(experiences: Experiences) -> Recall:
    async def recall(text: str, persona: str, channel: str) -> list[RatedAnswer]:
        return await experiences.similar(text, persona=persona, channel=channel or None)

    return recall


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
