"""Keeps the live sources running.

Owns their tasks and what is said of them. A source reconnects by itself as long as that can help;
one that ends or breaks down is told as a problem, and started again unless it has ended for good.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence

import msgspec

from understudy.sources.base import Publish, Source

FIRST_WAIT = 2.0
LONGEST_WAIT = 300.0
STEADY_SECONDS = 60.0
"""A source that ran for so long had nothing wrong with it at its start."""

logger = logging.getLogger(__name__)


class SourceEnded(Exception):
    """Nothing more will come from this source until somebody does what the message says."""


class SourceState(msgspec.Struct, frozen=True):
    """What is said of a source: what it reads, and what is wrong with it, if anything."""

    name: str
    """Its own among the sources that run."""
    description: str
    running: bool
    problem: str


class SourceRunner:
    """Runs sources side by side, each in a task of its own."""

    def __init__(self, sources: Sequence[Source], publish: Publish) -> None:
        self._runs = [
            _Run(source, label) for source, label in zip(sources, _labels(sources), strict=True)
        ]
        self._publish = publish

    def start(self) -> None:
        """Begin to read all of them."""
        for run in self._runs:
            run.task = asyncio.create_task(self._keep(run), name=f"source {run.label}")

    async def close(self) -> None:
        """Stop reading."""
        tasks = [run.task for run in self._runs if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def states(self) -> list[SourceState]:
        """Each source in the order of the settings."""
        return [run.state() for run in self._runs]

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each."""
        return [state.problem for state in self.states() if state.problem]

    async def _keep(self, run: "_Run") -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await run.source.run(self._publish)
            except SourceEnded as end:
                run.trouble = str(end)
                logger.warning("%s has ended: %s", run.label, end)
                return
            except Exception:
                logger.exception("%s broke down", run.label)
                failures = 1 if loop.time() - started > STEADY_SECONDS else failures + 1
            else:
                return
            wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
            run.trouble = (
                f"{run.label} broke down and is started again in {wait:.0f} s: "
                "details are in the log"
            )
            await asyncio.sleep(wait)
            run.trouble = ""


class _Run:
    """A source, its task, and what went wrong in it."""

    def __init__(self, source: Source, label: str) -> None:
        self.source = source
        self.label = label
        self.task: asyncio.Task[None] | None = None
        self.trouble = ""

    def state(self) -> SourceState:
        """What is said of it."""
        running = self.task is not None and not self.task.done()
        problem = self.trouble or " ".join(self.source.problems())
        return SourceState(self.label, self.source.describe(), running, problem)


def _labels(sources: Sequence[Source]) -> list[str]:
    """The name of each source, with a number behind it from the second of that name on."""
    seen: Counter[str] = Counter()
    labels: list[str] = []
    for source in sources:
        seen[source.name] += 1
        number = seen[source.name]
        labels.append(source.name if number == 1 else f"{source.name} {number}")
    return labels
