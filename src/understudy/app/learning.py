"""The learning half of the application: what follows the chat to learn what was liked, and the
versions that come of it.

Owns how its parts are put together. Does not own their order among others (`application`).
"""

import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.openai import OpenAIBrain
from understudy.brains.router import Router
from understudy.bus import Bus
from understudy.config import Settings, SettingsError
from understudy.engine.live_channels import LiveChannels
from understudy.learning.evaluation.judging import registry_of
from understudy.learning.feedback import Feedback
from understudy.learning.nightly.schedule import KIND, Schedule
from understudy.learning.nightly.setup import EXPECTED, pipeline_of, timetable_of
from understudy.learning.nightly.worker import JobWorker
from understudy.learning.reactions.audience import Audience
from understudy.learning.rollout.choice import VersionChoice
from understudy.learning.rollout.follower import DeploymentFollower
from understudy.learning.rollout.watch import CanaryWatch
from understudy.learning.serving.base import ServedVersions
from understudy.learning.serving.local import LocallyServed
from understudy.learning.serving.ollama import OllamaServed
from understudy.learning.serving.vllm import VllmServed
from understudy.learning.versions.deploying import Deploying
from understudy.mood.channel_words import ChannelWords
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.jobs import Jobs
from understudy.storage.outcomes import Outcomes
from understudy.storage.reactions import Reactions
from understudy.storage.viewers import Viewers

logger = logging.getLogger(__name__)


class TrainedVersions:
    """Which trained version answers whom, and when new ones are made; `start` it, `close` it."""

    def __init__(self, settings: Settings, database: Database, router: Router) -> None:
        """Raises `SettingsError` for a server of versions that cannot be."""
        self.choice = VersionChoice()
        self._registry = registry_of(settings, database)
        self._exit = AsyncExitStack()
        self._follower: DeploymentFollower | None = None
        self._watch: CanaryWatch | None = None
        if served := _served(settings, router):
            self._follower = DeploymentFollower(self._registry, served, self.choice)
            versions, outcomes = self._registry.versions, Outcomes(database)
            self._watch = CanaryWatch(Deploying(self._registry), versions, outcomes)
            self._exit.push_async_callback(served.aclose)
        elif settings.learning.every != "off":
            raise SettingsError(
                f"learning.every is {settings.learning.every}, but no model answers that could be "
                "trained: set brain.provider to huggingface, or learning.server"
            )
        self._nightly = _nightly(settings, database) if settings.learning.every != "off" else ()

    async def start(self) -> None:
        """Take up what is deployed, then watch over it and learn at night."""
        for sentence in await self._registry.sweep():
            logger.warning("%s", sentence)
        if self._follower is not None and self._watch is not None:
            self._exit.push_async_callback(self._follower.close)
            self._follower.start()
            self._exit.push_async_callback(self._watch.close)
            self._watch.start()
        for part in self._nightly:
            self._exit.push_async_callback(part.close)
            part.start()

    async def close(self) -> None:
        """Stop; a training under way keeps its checkpoint and goes on next time."""
        await self._exit.aclose()

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each."""
        follower = self._follower.problems if self._follower else []
        watch = self._watch.problems if self._watch else []
        return [*follower, *watch]


def follow_audience(
    settings: Settings,
    database: Database,
    bus: Bus,
    live: LiveChannels,
    feedback: Feedback,
    words: ChannelWords,
) -> Audience | None:
    """What stores votes and reactions, not started yet; None where neither is wanted."""
    if not (settings.learning.votes or settings.learning.reactions):
        return None
    return Audience(
        bus,
        settings,
        feedback,
        Experiences(database),
        Reactions(database),
        Viewers(database),
        is_live=live.is_live,
        score=lambda channel, text: words.lexicon(channel).score(text),
    )


def _served(settings: Settings, router: Router) -> ServedVersions | None:
    """What serves versions: the model of this process, or the server the settings name."""
    local = next((b for b in router.brains if isinstance(b, HuggingFaceBrain)), None)
    if settings.learning.server == "none":
        return LocallyServed(local) if local else None
    url, brain = settings.brain.base_url, router.brain
    if not url or not isinstance(brain, OpenAIBrain):
        raise SettingsError(
            f"learning.server is {settings.learning.server}, which must be what answers: "
            "set brain.provider to openai, and brain.base_url and brain.model to the server's"
        )
    if settings.learning.server == "ollama":
        served: OllamaServed | VllmServed = OllamaServed(url, settings.brain.model)
    else:
        served = VllmServed(
            url,
            settings.brain.model,
            api_key=settings.brain.api_key.get_secret_value(),
            folder=settings.data_dir / "models" if settings.learning.server_models else None,
            seen=settings.learning.server_models,
        )
    brain.serve_versions(served.model)
    return served


def _nightly(settings: Settings, database: Database) -> tuple[Schedule, JobWorker]:
    """What queues a job in each window, and what carries jobs out in this process."""
    jobs = Jobs(database)
    replay = settings.learning.replay
    schedule = Schedule(jobs, timetable_of(settings), _zone(settings), replay=replay)
    handlers = {KIND: pipeline_of(settings, database).handle}
    return schedule, JobWorker(jobs, handlers, expected=EXPECTED)


def _zone(settings: Settings) -> tzinfo:
    """The streamer's time zone, else this machine's."""
    name = settings.tools.time_zone
    return ZoneInfo(name) if name else (datetime.now().astimezone().tzinfo or UTC)
