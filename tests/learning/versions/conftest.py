"""A data directory with a tiny base, datasets and finished runs, and the registry on it."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.learning.versions.small_world import base_model, run_on, write_dataset
from understudy.learning.versions.registry import Registry
from understudy.storage.engine import Database
from understudy.storage.versions import ModelVersions

# PEFT asks a model for something that transformers has renamed.
PEFT_WARNING = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
GOOD, BETTER, SPOILT = "20261101-000000-000", "20261108-000000-000", "20261115-000000-000"


class World(NamedTuple):
    """Folders: the base, the datasets and the runs, by the names above."""

    base: Path
    data: Path

    def dataset(self, name: str) -> Path:
        return self.data / "learning" / "datasets" / name

    def run(self, name: str) -> Path:
        return self.data / "learning" / "runs" / name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(PEFT_WARNING))


@pytest.fixture(scope="session")
def pristine_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once: three tastes, of which the last wipes out what was known before."""
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    folder = tmp_path_factory.mktemp("world")
    world = World(base_model(folder / "base"), folder / "data")
    for name, epochs in ((GOOD, 1), (BETTER, 3)):
        run_on(world.base, write_dataset(world.dataset(name)), world.run(name), epochs=epochs)
    spoilt = write_dataset(world.dataset(SPOILT), taste="zz qq xx zz qq")
    run_on(world.base, spoilt, world.run(SPOILT))
    return world


@pytest.fixture
def world(pristine_world: World, tmp_path: Path) -> World:
    """A copy that a test may change."""
    shutil.copytree(pristine_world.data, tmp_path / "data")
    return World(pristine_world.base, tmp_path / "data")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    (tmp_path / "data").mkdir(exist_ok=True)
    opened = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/data/understudy.db")
    yield opened
    await opened.close()


@pytest.fixture
def registry(world: World, database: Database) -> Registry:
    return Registry(world.data / "models", ModelVersions(database))
