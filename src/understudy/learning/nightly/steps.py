"""The steps of learning on this machine: its datasets, its trainer, its gates.

Owns how each step is done here, and that doing one twice harms nothing. Does not own their order
(`pipeline`).
"""

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import msgspec

from understudy.config import Settings
from understudy.learning.datasets.builder import MOST_REPLAY, DatasetBuilder, DatasetRequest
from understudy.learning.datasets.curate import CurationRules
from understudy.learning.datasets.store import Datasets, Manifest
from understudy.learning.evaluation.evaluator import Report
from understudy.learning.evaluation.judging import evaluator, local_model, originate, registry_of
from understudy.learning.gates.limits import Limits
from understudy.learning.nightly.pipeline import LearnRequest, Plan, Tell, unfinished
from understudy.learning.training.base_model import BaseModel, identify, locate
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.job import Job, Line, Options
from understudy.learning.training.process import run_training
from understudy.learning.training.run_folder import RunFolder
from understudy.learning.versions.deploying import AUTOMATIC, Deploying
from understudy.learning.versions.lineage import Lineage
from understudy.storage.engine import Database
from understudy.storage.jobs import Jobs
from understudy.storage.outcomes import Outcomes

_TELL_SECONDS = 1.0


class LearnOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to learn on this machine; `environment` is added to the trainer's."""

    new_replies: int = 300
    """Fewest new replies worth a training."""
    canary_share: float = 0.1
    training: Options = Options()
    limits: Limits = Limits()
    environment: Mapping[str, str] = {}


class LocalSteps:
    """The steps with the data directory and the database of `settings`; see `pipeline.Steps`."""

    def __init__(
        self, settings: Settings, database: Database, options: LearnOptions | None = None
    ) -> None:
        self._settings = settings
        self._database = database
        self._options = options or LearnOptions()
        self._folder = settings.data_dir / "learning"
        self._registry = registry_of(settings, database)
        self._deploying = Deploying(self._registry)
        self._jobs = Jobs(database)

    async def too_little(self, request: LearnRequest) -> str:
        """Whether enough was said since the newest dataset; raises `DatasetError`."""
        datasets = await self._datasets(request)
        latest = await asyncio.to_thread(datasets.latest, request.channel, request.persona)
        since = latest.created if latest else 0
        count = await Outcomes(self._database).count(request.channel, request.persona, since)
        if count >= self._options.new_replies:
            return ""
        return f"{count} new replies, {self._options.new_replies} are worth a training"

    async def plan(self, request: LearnRequest) -> Plan:
        """Go on from the live version, or begin anew; raises as `register` does."""
        base = await self._base()
        live = await self._deploying.current(request.channel)
        datasets = Datasets(self._folder / "datasets")
        lineage = Lineage(self._registry, datasets, partial(originate, self._database))
        start = await lineage.start(live, base.hash)
        replay = max(request.replay, MOST_REPLAY) if start.anew else request.replay
        return Plan(start=start.version, anew=start.anew, replay=replay)

    async def build(self, request: LearnRequest) -> str:
        """Build the dataset; raises `DatasetError` and `StorageError`."""
        settings = self._settings
        rules = CurationRules(
            bots=tuple(settings.director.bots),
            cohost=(settings.persona.name, *settings.persona.aliases),
            command_prefix=settings.director.command_prefix,
            blocked_words=tuple(settings.safety.blocked_words),
        )
        own_anchors = self._folder / "anchors.jsonl"
        datasets = await self._datasets(request)
        builder = DatasetBuilder(self._database, datasets, rules, own_anchors)
        asked = DatasetRequest(
            channel=request.channel, persona=request.persona, replay=request.replay
        )
        return (await builder.build(asked)).id

    async def _datasets(self, request: LearnRequest) -> Datasets:
        """The datasets, without those of former attempts and of jobs that failed half-way."""
        begun = await asyncio.to_thread(unfinished, self._folder / "jobs")
        trained = {version.dataset for version in await self._registry.versions.list()}
        hidden: set[str] = set()
        for number, dataset in begun.items():
            job = await self._jobs.get(number)
            if dataset not in trained and (job is None or job.state == "failed"):
                hidden.add(dataset)
        return _DatasetsBefore(self._folder / "datasets", request.queued, hidden)

    async def train(self, dataset: str, run: str, start: str, tell: Tell) -> None:
        """Train in a process of its own, or go on; raises `TrainingError` and `VersionError`."""
        folder = RunFolder(self._folder / "runs" / run)
        options = msgspec.structs.replace(
            self._options.training, device=self._settings.brain.device
        )
        job = Job(
            data=str(self._folder / "datasets" / dataset),
            base=local_model(self._settings),
            start=str(self._registry.adapter(await self._registry.get(start))) if start else "",
            options=options,
        )
        resume = await asyncio.to_thread(folder.job) is not None
        await asyncio.to_thread(folder.begin, job, resume=resume)
        steps: list[Line] = []
        telling = asyncio.create_task(_tell_steps(steps, tell), name=f"telling of {run}")
        try:
            result = await run_training(
                folder,
                resume=resume,
                on_line=steps.append,
                environment=self._options.environment,
            )
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        if result.state != "done":
            raise TrainingError(result.error or f"run {run} is {result.state}")

    async def register(self, run: str, channel: str) -> str:
        """Register the run; raises `VersionError` and `TrainingError`."""
        base = await self._base()
        path = self._folder / "runs" / run
        version = await self._registry.register(path, channel=channel, base_hash=base.hash)
        return version.id

    async def evaluate(self, version: str) -> Report:
        """Put the version through the gates; raises as `Evaluator.evaluate` does."""
        judge = await evaluator(
            self._settings, self._database, version, limits=self._options.limits
        )
        return await judge.evaluate(version)

    async def _base(self) -> BaseModel:
        folder = await asyncio.to_thread(locate, local_model(self._settings))
        return await asyncio.to_thread(identify, folder)

    async def try_out(self, version: str, reason: str) -> None:
        """Deploy the canary unless it is deployed; raises `VersionError` and `StorageError`."""
        found = await self._registry.get(version)
        if found.state in {"canary", "live"}:
            return
        share = self._options.canary_share
        await self._deploying.canary(version, actor=AUTOMATIC, share=share, reason=reason)


class _DatasetsBefore(Datasets):
    """The datasets of a folder as they were at a time (ms; 0: now), without `hidden` ones."""

    def __init__(self, folder: Path, time: int, hidden: Collection[str]) -> None:
        super().__init__(folder)
        self._time = time
        self._hidden = hidden

    def manifests(self) -> list[Manifest]:
        """Those that were built before then."""
        return [
            manifest
            for manifest in super().manifests()
            if manifest.id not in self._hidden and not 0 < self._time <= manifest.created
        ]


async def _tell_steps(steps: list[Line], tell: Tell) -> None:
    """Tell how far a training is, now and then: a step can take milliseconds."""
    told = 0
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        if len(steps) > told:
            told = len(steps)
            last = steps[-1]
            await tell({"training": {"step": last.step, "of": last.steps, "loss": last.loss}})
