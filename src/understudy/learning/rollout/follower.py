"""Follows the deployments: what is needed is loaded, what counts is chosen, the rest is let go.

Owns the task that does so, in every process that answers. Deployments are read from the database,
so it does not matter which process made them. Does not own who may deploy (`versions.deploying`).

A version is chosen only once it is loaded. The one before it stays loaded, so going back to it
changes which version new replies get and nothing else; replies under way keep theirs.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from understudy.brains.base import BrainError
from understudy.learning.rollout.choice import VersionChoice
from understudy.learning.serving.base import ServedVersions
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry, is_base
from understudy.storage.errors import StorageError
from understudy.storage.rows import BASE
from understudy.storage.versions import Deployment

POLL_SECONDS = 0.5
RETRY_SECONDS = 30.0
"""Pause before a version that could not be loaded is tried again."""
CHECK_SECONDS = 5.0
"""Pause before it is looked again whether everything is still loaded: a server may begin anew."""
LINGER_SECONDS = 120.0
"""How long a version stays loaded that nothing needs: a reply may have chosen it just before."""

_log = logging.getLogger(__name__)


class DeploymentFollower:
    """Keeps `served` and `choice` in step with the deployments of `registry`."""

    def __init__(
        self,
        registry: Registry,
        served: ServedVersions,
        choice: VersionChoice,
        *,
        poll_seconds: float = POLL_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._served = served
        self._choice = choice
        self._poll = poll_seconds
        self._linger = linger_seconds
        self._clock = clock
        self._seen = 0
        self._again_at: float | None = None
        self._check_at = 0.0
        self._loaded: set[str] = set()
        self._unneeded: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._default = BASE
        self._task: asyncio.Task[None] | None = None
        self._unloads: dict[str, asyncio.Task[None]] = {}

    @property
    def problems(self) -> list[str]:
        """What keeps deployed versions from answering, one sentence each."""
        return [f"version {name} does not answer: {why}" for name, why in self._failed.items()]

    def start(self) -> None:
        """Follow from now on, in a task."""
        self._task = asyncio.create_task(self._follow(), name="deployments")

    async def close(self) -> None:
        """End the task and what it began."""
        tasks = [*self._unloads.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Catch up with the deployments; raises `StorageError`."""
        newest = await self._registry.versions.newest_deployment()
        due = self._again_at is not None and self._clock() >= self._again_at
        if newest != self._seen or due or await self._has_lost():
            await self._catch_up()
            self._seen = newest
        await self._let_go()

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except (StorageError, VersionError, BrainError) as error:
                _log.warning("the deployments cannot be followed: %s", error)
            await asyncio.sleep(self._poll)

    async def _has_lost(self) -> bool:
        """Whether something that is needed is loaded no more."""
        if self._clock() < self._check_at:
            return False
        self._check_at = self._clock() + CHECK_SECONDS
        lost = self._loaded - set(await self._served.versions())
        if lost:
            _log.warning("no longer loaded, so loaded again: %s", ", ".join(sorted(lost)))
        return bool(lost)

    async def _catch_up(self) -> None:
        newest = newest_by_channel(await self._registry.versions.deployments())
        loaded = set(await self._served.versions()) - set(self._unloads)
        ready = [row for row in newest.values() if answering(row) <= loaded]
        # First what needs no loading: a way back must not wait for another channel's model.
        await self._choose(ready, newest)
        self._failed = {}
        wanted: set[str] = set()
        for row in newest.values():
            wanted |= kept(row)
            for version in sorted(kept(row) - loaded):
                if await self._load(version):
                    loaded.add(version)
            if row not in ready and answering(row) <= loaded:
                await self._choose([row], newest)
        now = self._clock()
        self._loaded = loaded & wanted
        self._again_at = now + RETRY_SECONDS if self._failed else None
        self._unneeded = {
            version: self._unneeded.get(version, now) for version in loaded - wanted - {BASE}
        }

    async def _load(self, version: str) -> bool:
        task = self._unloads.get(version)
        if task is not None:
            await asyncio.wait([task])
        try:
            adapter = self._registry.adapter(await self._registry.get(version))
            await self._served.load(version, adapter)
        except (VersionError, BrainError) as error:
            _log.warning("version %s cannot be loaded: %s", version, error)
            self._failed[version] = str(error)
            return False
        _log.info("loaded version %s", version)
        return True

    async def _choose(self, rows: Iterable[Deployment], newest: Mapping[str, Deployment]) -> None:
        rows = list(rows)
        self._choice.put(rows)
        everybody = newest.get("")
        if everybody is not None and everybody in rows:
            default = everybody.version if everybody.share >= 1 else everybody.before
            if default != self._default:
                await self._served.promote(default)
                self._default = default

    async def _let_go(self) -> None:
        """Unload what nothing has needed for a while, each in its own task: replies may go on."""
        for version, task in list(self._unloads.items()):
            if task.done():
                del self._unloads[version]
        now = self._clock()
        for version in [v for v, since in self._unneeded.items() if now - since >= self._linger]:
            del self._unneeded[version]
            task = asyncio.create_task(self._unload(version), name=f"unload {version}")
            self._unloads[version] = task

    async def _unload(self, version: str) -> None:
        try:
            await self._served.unload(version)
            _log.info("unloaded version %s", version)
        except (VersionError, BrainError) as error:
            _log.warning("version %s cannot be unloaded: %s", version, error)


def newest_by_channel(deployments: Iterable[Deployment]) -> dict[str, Deployment]:
    """The deployment that counts in each channel; `deployments` are oldest first."""
    return {row.channel: row for row in deployments}


def answering(row: Deployment) -> set[str]:
    """The versions that must be ready before `row` can count."""
    return {_named(row.version)} if row.share >= 1 else kept(row)


def kept(row: Deployment) -> set[str]:
    """The versions that stay ready while `row` counts: those that answer, and the way back."""
    return {_named(row.version), _named(row.before)}


def _named(version: str) -> str:
    return BASE if is_base(version) else version
