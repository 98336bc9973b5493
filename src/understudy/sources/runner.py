"""Keeps the live sources running.

Owns their tasks and what is said of them. A source reconnects by itself as long as that can help;
one that ends or breaks down is told as a problem, and started again unless it has ended for good.
"""

import asyncio
import logging
import random
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
    description: str
    running: bool
    problem: str


class SourceRunner:
    """Runs sources side by side, each in a task of its own."""

    def __init__(self, sources: Sequence[Source], publish: Publish) -> None:
        self._sources = list(sources)
        self._publish = publish
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, str] = {}

    def start(self) -> None:
        """Begin to read all of them."""
        for source in self._sources:
            name = f"source {source.name}"
            self._tasks[source.name] = asyncio.create_task(self._keep(source), name=name)

    async def close(self) -> None:
        """Stop reading."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def states(self) -> list[SourceState]:
        """Each source in the order of the settings."""
        return [
            SourceState(
                source.name, source.describe(), self._is_running(source), self._problem(source)
            )
            for source in self._sources
        ]

    def problems(self) -> list[str]:
        """What the operator should look at, one sentence each."""
        return [state.problem for state in self.states() if state.problem]

    def _is_running(self, source: Source) -> bool:
        task = self._tasks.get(source.name)
        return task is not None and not task.done()

    def _problem(self, source: Source) -> str:
        return self._problems.get(source.name) or " ".join(source.problems())

    async def _keep(self, source: Source) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                await source.run(self._publish)
            except SourceEnded as end:
                self._problems[source.name] = str(end)
                logger.warning("%s has ended: %s", source.name, end)
                return
            except Exception:
                logger.exception("%s broke down", source.name)
                failures = 1 if loop.time() - started > STEADY_SECONDS else failures + 1
            else:
                return
            wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
            self._problems[source.name] = (
                f"{source.name} broke down and is started again in {wait:.0f} s: "
                "details are in the log"
            )
            await asyncio.sleep(wait)
            self._problems.pop(source.name, None)
