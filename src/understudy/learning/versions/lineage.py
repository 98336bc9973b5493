"""Where a training begins: at the version that is live, or at the base.

Owns which version may be gone on from. Does not own the rows nor the training.

Night after night the live version is gone on from: what it knows need not be learned again, and a
quarter of older rows is enough to keep it. From the base, that quarter would have to carry all
weeks there ever were. But weights cannot forget one viewer, nor a dataset that was rejected: once
anything that a version or those before it learned was withdrawn, one begins at the base again, with
as many of the older rows as there are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from understudy.learning.datasets.errors import DatasetError
from understudy.learning.datasets.store import Datasets
from understudy.learning.gates.data import Origin
from understudy.learning.versions.registry import Registry, is_base
from understudy.storage.versions import ModelVersion

Originate = Callable[[Sequence[str]], Awaitable[Mapping[str, Origin]]]


class Start(msgspec.Struct, frozen=True):
    """A version to go on from (empty: the base), and why the live one cannot be, if it cannot."""

    version: str = ""
    anew: str = ""


class Lineage:
    """Looks where a training begins."""

    def __init__(self, registry: Registry, datasets: Datasets, originate: Originate) -> None:
        """`originate` tells what became of experiences, by their ids."""
        self._registry = registry
        self._datasets = datasets
        self._originate = originate

    async def start(self, live: str, base_hash: str) -> Start:
        """Where a training of the model `base_hash` begins while `live` is in use.

        Raises `VersionError`.
        """
        if is_base(live):
            return Start()
        for version in await self._line(live):
            if version.base_hash != base_hash or not version.adapter_hash:
                return Start(anew=f"{version.id} is of another model")
        if withdrawn := await self.withdrawn(live):
            return Start(anew=withdrawn)
        return Start(version=live)

    async def withdrawn(self, live: str) -> str:
        """What a version or one before it learned and must know no longer, empty when nothing.

        Raises `VersionError`.
        """
        if is_base(live):
            return ""
        for version in await self._line(live):
            if rows := await self._withdrawn_rows(version):
                return f"{version.id} learned from {rows}"
        return ""

    async def _line(self, version: str) -> list[ModelVersion]:
        """The version and all that it came from, newest first."""
        line = [await self._registry.get(version)]
        while not is_base(line[-1].parent):
            line.append(await self._registry.get(line[-1].parent))
        return line

    async def _withdrawn_rows(self, version: ModelVersion) -> str:
        """What of the rows that a version learned from must be known no longer."""
        try:
            ids = await asyncio.to_thread(self._datasets.trained_rows, version.dataset)
        except DatasetError:
            return f"the dataset {version.dataset}, which cannot be looked at"
        origins = await self._originate(sorted(ids))
        count = sum(origin.is_withdrawn for origin in origins.values())
        return f"{count} rows that were withdrawn since" if count else ""
