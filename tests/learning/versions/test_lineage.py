"""A training goes on from the live version, unless what its line learned was withdrawn."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.learning.versions.conftest import BETTER, GOOD, World
from tests.learning.versions.small_world import row, run_on, write_rows
from understudy.learning.datasets.store import Datasets
from understudy.learning.gates.data import Origin
from understudy.learning.training.adapter import hash_adapter
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.lineage import Lineage, Start
from understudy.learning.versions.registry import Registry
from understudy.storage.versions import ModelVersion


class Origins:
    """What became of experiences."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}

    async def __call__(self, ids: Sequence[str]) -> Mapping[str, Origin]:
        return {id: Origin("", self.states.get(id, "")) for id in ids}


@pytest.fixture
def origins() -> Origins:
    return Origins()


@pytest.fixture
async def line(registry: Registry, world: World) -> list[ModelVersion]:
    """A version, and one that went on from it with rows of its own."""
    first = await registry.register(world.run(GOOD))
    rows = [row(number, "train.jsonl", "so good") for number in range(400, 480)]
    write_rows(world.dataset(BETTER) / "train.jsonl", rows)
    for name in (GOOD, BETTER):
        complete(world.dataset(name))
    adapter = registry.adapter(first)
    run_on(world.base, world.dataset(BETTER), world.run("onwards"), start=adapter, epochs=1)
    return [first, await registry.register(world.run("onwards"))]


def complete(dataset: Path) -> None:
    """Write into the manifest what the builder does, and what is in the file of rows now."""
    path, rows = dataset / "manifest.json", (dataset / "train.jsonl").read_bytes()
    known = json.loads(path.read_bytes())
    known["sha256"]["train.jsonl"] = hashlib.sha256(rows).hexdigest()
    path.write_text(json.dumps(known | REST))


REST = {
    "created": 0, "persona": "", "filter": {}, "replay": 0, "anchor": 0, "seed": 0, "report": {},
    "parent": "", "looked_at": 0, "rows": {"new": 0, "old": 0, "old_known": 0, "anchor": 0},
    "viewer_share": {"viewers": 0, "cap": 0}, "redacted": {},
}  # fmt: skip
"""What a manifest holds that nobody reads here."""


@pytest.fixture
def lineage(registry: Registry, world: World, origins: Origins) -> Lineage:
    return Lineage(registry, Datasets(world.data / "learning" / "datasets"), origins)


async def test_the_base_is_begun_at_when_nothing_is_live(lineage: Lineage) -> None:
    assert await lineage.start("base", "any") == Start()
    with pytest.raises(VersionError, match="there is no version all@9"):
        await lineage.start("all@9", "any")


async def test_the_live_version_is_gone_on_from(
    lineage: Lineage, line: list[ModelVersion], registry: Registry
) -> None:
    first, second = line
    assert (first.parent, second.parent) == ("", first.id)
    assert hash_adapter(registry.adapter(first)) != hash_adapter(registry.adapter(second))
    assert await lineage.start(second.id, second.base_hash) == Start(second.id)


@pytest.mark.parametrize("state", ["tombstoned", "rejected"])
async def test_what_any_version_of_the_line_learned_may_be_withdrawn(
    lineage: Lineage, line: list[ModelVersion], origins: Origins, state: str
) -> None:
    first, second = line
    origins.states = {"train3": state, "train4": state}
    assert await lineage.start(second.id, second.base_hash) == Start(
        anew=f"{first.id} learned from 2 rows that were withdrawn since"
    )
    origins.states = {"val3": state}
    assert (await lineage.start(second.id, second.base_hash)).version == second.id


async def test_a_dataset_that_is_gone_proves_nothing(
    lineage: Lineage, line: list[ModelVersion], world: World
) -> None:
    world.dataset(GOOD).rename(world.data / "elsewhere")
    start = await lineage.start(line[1].id, line[1].base_hash)
    assert start == Start(anew=f"all@1 learned from the dataset {GOOD}, which cannot be looked at")


async def test_another_base_is_begun_at(lineage: Lineage, line: list[ModelVersion]) -> None:
    start = await lineage.start(line[1].id, "another")
    assert start == Start(anew="all@2 is of another model")


async def test_a_line_has_no_gap(registry: Registry, world: World) -> None:
    first = await registry.register(world.run(GOOD))
    adapter = registry.adapter(first)
    other = world.run(BETTER) / "adapter"
    result = run_on(world.base, world.dataset(BETTER), world.run("onwards"), start=other, epochs=1)
    assert result.start != hash_adapter(adapter)
    with pytest.raises(VersionError, match="an adapter that is no version: register that one"):
        await registry.register(world.run("onwards"))
