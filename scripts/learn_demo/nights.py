"""Nights of learning: the real pipeline, and what is known of them afterwards.

Owns how a night is asked for and what of its records is shown. Does not own the pipeline.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from understudy.config import Settings
from understudy.events import now_ms
from understudy.learning.datasets.store import Datasets, Manifest
from understudy.learning.datasets.trust import reject_dataset
from understudy.learning.evaluation.evaluator import EVAL, Report
from understudy.learning.evaluation.judging import registry_of
from understudy.learning.nightly.pipeline import LearnRequest, Outcome, Pipeline
from understudy.learning.nightly.steps import LearnOptions, LocalSteps
from understudy.learning.training.job import Line, Options
from understudy.learning.training.rows import Row, load_rows
from understudy.learning.training.run_folder import RunFolder
from understudy.storage.engine import Database
from understudy.storage.examples import Examples

OPTIONS = Options(epochs=3, learning_rate=3e-3, dropout=0.3)
"""Small weights want higher rates: the defaults suit models of a billion parameters and more."""
CANARY_SHARE = 0.3
"""More than by default, so that it is decided after fewer replies."""
# Sums are rounded in another order on any other number of threads.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

Say = Callable[[str], None]


class Attempt(msgspec.Struct, frozen=True):
    """A version that was trained: its dataset, its steps, and what the gates said of it."""

    version: str
    manifest: Manifest
    steps: list[Line]
    report: Report

    def losses(self, rows: str) -> tuple[float, float]:
        """Nats per token before and after on `rows`: `new_time`, `old` or `anchor`."""
        gate = "G2" if rows == "new_time" else "G3"
        (figures,) = (v.figures for v in self.report.verdicts if v.gate == gate)
        return figures[rows]["old"], figures[rows]["new"]

    def change(self, rows: str) -> float:
        """How much the loss on `rows` changed, as a share of what it was."""
        before, after = self.losses(rows)
        return after / before - 1


class Night(msgspec.Struct, frozen=True):
    """How a night ended, and every version that was trained in it."""

    outcome: Outcome
    attempts: list[Attempt]

    @property
    def last(self) -> Attempt:
        """What the outcome is about."""
        return self.attempts[-1]


class Nights:
    """Learns in the data directory of `settings`, for all channels together."""

    def __init__(self, settings: Settings, database: Database, seed: int, say: Say) -> None:
        options = LearnOptions(
            # The weeks lie in the past, so none of their replies is newer than a dataset.
            new_replies=0,
            canary_share=CANARY_SHARE,
            training=msgspec.structs.replace(OPTIONS, seed=seed),
            environment=ENVIRONMENT,
        )
        self.steps = LocalSteps(settings, database, options)
        self.registry = registry_of(settings, database)
        self._learning = settings.data_dir / "learning"
        self._datasets = Datasets(self._learning / "datasets")
        self._examples = Examples(database)
        self._pipeline = Pipeline(self.steps, self._learning / "jobs")
        self._say = say
        self._count = 0

    async def learn(self) -> Night:
        """Do what a nightly job does: build, train, register, evaluate, and try out or block."""
        self._count += 1
        known = {version.id for version in await self.registry.versions.list()}
        outcome = await self._pipeline.learn(self._count, LearnRequest(queued=now_ms()), self._tell)
        made = [v for v in await self.registry.versions.list() if v.id not in known]
        attempts = [self._attempt(v.id, v.dataset, v.run) for v in made]
        return Night(outcome, attempts)

    async def reject(self, attempt: Attempt) -> None:
        """Let nothing that was new in the dataset of a version be learned from again."""
        await reject_dataset(self._datasets, self._examples, attempt.manifest.id)

    def trained_on(self, attempt: Attempt) -> set[str]:
        """The exchanges that a version was trained on, by their ids."""
        path = self._datasets.folder / attempt.manifest.id / "train.jsonl"
        return {str(row.meta.id) for row in load_rows(path, Row).rows}

    def _attempt(self, version: str, dataset: str, run: str) -> Attempt:
        data = (self.registry.folder(version) / EVAL).read_bytes()
        return Attempt(
            version,
            self._datasets.load(dataset),
            RunFolder(self._learning / "runs" / run).log(),
            msgspec.json.decode(data, type=Report),
        )

    async def _tell(self, facts: dict[str, Any]) -> None:
        if step := facts.get("step"):
            self._say(f"  {step} {facts.get('version', '')}".rstrip())
