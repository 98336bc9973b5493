"""A database, a registry with versions whose adapters are only names, and what serves them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from understudy.brains.huggingface.adapters import CONFIG, WEIGHTS
from understudy.learning.gates.verdict import HARD_GATES
from understudy.learning.versions.deploying import Deploying
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.versions import Evaluation, ModelVersion, ModelVersions


class Served:
    """What serves versions, with failures and delays that a test sets."""

    def __init__(self) -> None:
        self.loaded = ["base"]
        self.default = "base"
        self.broken: set[str] = set()

    async def load(self, version: str, adapter: Path) -> None:
        if version in self.broken:
            raise VersionError(f"version {version} does not fit")
        assert (adapter / WEIGHTS).is_file()
        self.loaded.append(version)

    async def unload(self, version: str) -> None:
        assert version != self.default
        self.loaded.remove(version)

    async def promote(self, version: str) -> None:
        assert version in self.loaded
        self.default = version

    async def versions(self) -> list[str]:
        return list(self.loaded)

    def model(self, version: str) -> str:
        return version

    async def aclose(self) -> None:
        return None


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    yield opened
    await opened.close()


@pytest.fixture
async def log(database: Database) -> AsyncIterator[LogWriter]:
    writer = LogWriter(database)
    await writer.start()
    yield writer
    await writer.close()


@pytest.fixture
async def registry(database: Database, tmp_path: Path) -> Registry:
    """With all@1 to all@3 and ada@1, which all passed the gates."""
    registry = Registry(tmp_path / "models", ModelVersions(database))
    for name in ("all@1", "all@2", "all@3", "ada@1"):
        await add(registry, name)
    return registry


async def add(registry: Registry, name: str) -> None:
    channel = name.partition("@")[0].replace("all", "")
    version = ModelVersion(id=name, channel=channel, base="tiny", base_hash="b", created=1)
    await registry.versions.add(version)
    folder = registry.folder(name) / "adapter"
    folder.mkdir(parents=True)
    for file in (CONFIG, WEIGHTS):
        (folder / file).touch()
    gates = [Evaluation(version=name, gate=g, passed=True, ts=1) for g in HARD_GATES]
    await registry.versions.add_evaluation(gates)


@pytest.fixture
def deploying(registry: Registry) -> Deploying:
    return Deploying(registry)


@pytest.fixture
def served() -> Served:
    return Served()
