"""Versions are registered whole or not at all."""

import asyncio
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.learning.versions.conftest import BETTER, GOOD, World
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry
from understudy.storage.engine import Database
from understudy.storage.versions import ModelVersions


def files(registry: Registry) -> list[str]:
    folder = registry._folder
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


async def test_a_finished_run_becomes_a_version(registry: Registry, world: World) -> None:
    version = await registry.register(world.run(GOOD), channel="ada")
    assert (version.id, version.channel, version.state) == ("ada@1", "ada", "candidate")
    assert (version.dataset, version.run, version.parent) == (GOOD, GOOD, "")
    assert version.metrics["rows"]["trained"] == 320
    assert version.metrics["losses"]["held_out_after"] < version.metrics["losses"]["first"]
    assert files(registry) == [
        "ada@1/adapter/adapter_config.json",
        "ada@1/adapter/adapter_model.safetensors",
        "ada@1/version.json",
    ]
    assert await registry.get("ada@1") == version
    assert registry.adapter(version) == world.data / "models" / "ada@1" / "adapter"


async def test_a_run_is_registered_once(registry: Registry, world: World) -> None:
    first = await registry.register(world.run(GOOD))
    assert await registry.register(world.run(GOOD)) == first
    second = await registry.register(world.run(BETTER))
    assert (first.id, second.id) == ("all@1", "all@2")


async def test_two_at_once_get_two_names(registry: Registry, world: World) -> None:
    one, two = await asyncio.gather(
        registry.register(world.run(GOOD)), registry.register(world.run(BETTER))
    )
    assert {one.id, two.id} == {"all@1", "all@2"}


async def test_any_channel_has_a_name_that_a_disk_takes(registry: Registry, world: World) -> None:
    version = await registry.register(world.run(GOOD), channel="discord:12/34 ../é")
    assert (version.id, version.channel) == ("discord_12_34_@1", "discord:12/34 ../é")
    assert registry.folder(version.id).is_dir()


async def refused(registry: Registry, run: Path, **options: str) -> str:
    with pytest.raises(VersionError) as caught:
        await registry.register(run, **options)
    assert await registry.versions.list() == []
    assert not (registry._folder).exists() or files(registry) == []
    return str(caught.value)


async def test_another_base_is_refused(registry: Registry, world: World) -> None:
    said = await refused(registry, world.run(GOOD), base_hash="0" * 64)
    assert "was trained on another model (base) than the one that is used" in said


async def test_unfinished_runs_are_refused(registry: Registry, world: World) -> None:
    result = world.run(GOOD) / "result.json"
    content = json.loads(result.read_text())
    result.write_text(json.dumps({**content, "state": "failed", "error": "it was killed"}))
    assert "is failed and not done (it was killed)" in await refused(registry, world.run(GOOD))
    result.write_text("{")
    assert "cannot be read" in await refused(registry, world.run(GOOD))
    result.unlink()
    assert "holds no finished run" in await refused(registry, world.run(GOOD))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
async def test_missing_and_changed_files_are_refused(
    registry: Registry, world: World, name: str
) -> None:
    file = world.run(GOOD) / "adapter" / name
    file.write_bytes(file.read_bytes() + b" ")
    assert "is not the one that was trained" in await refused(registry, world.run(GOOD))
    file.unlink()
    assert f"has no adapter/{name}" in await refused(registry, world.run(GOOD))


async def test_a_full_disk_leaves_nothing(
    registry: Registry, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("understudy.learning.versions.registry.os.rename", full)
        said = await refused(registry, world.run(GOOD))
    assert "cannot be written" in said
    assert "(no space left on device): make room" in said
    assert list(registry._folder.iterdir()) == []


async def test_what_is_no_version(registry: Registry) -> None:
    with pytest.raises(VersionError, match="there is no version all@9: there are none"):
        await registry.get("all@9")
    for name in ("../all@1", "all", "all@0", "a/b@1", ""):
        with pytest.raises(VersionError, match="is no version: write its channel"):
            registry.folder(name)


async def test_a_folder_without_its_row_is_registered_to_its_end(
    registry: Registry, world: World, tmp_path: Path
) -> None:
    version = await registry.register(world.run(GOOD))
    other = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/other.db")
    try:
        # As after a crash between the rename and the row.
        crashed = Registry(registry._folder, ModelVersions(other))
        assert await crashed.sweep() == ["version all@1 was registered to its end"]
        assert await crashed.get("all@1") == version
        assert await crashed.sweep() == []
        assert await crashed.register(world.run(GOOD)) == version
    finally:
        await other.close()


async def test_a_damaged_folder_is_not_completed(registry: Registry, world: World) -> None:
    folder = registry._folder / "all@7"
    (folder / "adapter").mkdir(parents=True)
    assert "has no readable version.json" in (await registry.sweep())[0]
    await registry.register(world.run(GOOD))
    card = registry.folder("all@8") / "version.json"
    shutil.copyfile(card, folder / "version.json")
    assert "is not whole" in (await registry.sweep())[0]
    assert [version.id for version in await registry.versions.list()] == ["all@8"]


async def test_old_drafts_go_and_new_ones_stay(registry: Registry) -> None:
    new, old = registry._folder / ".draft-new", registry._folder / ".draft-old"
    for draft in (new, old):
        (draft / "adapter").mkdir(parents=True)
    yesterday = time.time() - 86_400
    os.utime(old, (yesterday, yesterday))
    (registry._folder / "mood").mkdir()
    assert await registry.sweep() == ["an unfinished registration was removed"]
    assert sorted(path.name for path in registry._folder.iterdir()) == [".draft-new", "mood"]


async def test_a_version_without_its_files_is_pointed_out(registry: Registry, world: World) -> None:
    version = await registry.register(world.run(GOOD))
    shutil.rmtree(registry.adapter(version))
    assert await registry.sweep() == ["version all@1 has no files here: it cannot be served"]
    # On another machine it may have them.
    assert (await registry.get("all@1")).state == "candidate"
    with pytest.raises(VersionError, match="restore the folder, or train again"):
        registry.adapter(version)


async def test_another_run_of_the_same_name_is_another_version(
    registry: Registry, world: World
) -> None:
    await registry.register(world.run(GOOD))
    other = world.data / "elsewhere" / GOOD
    shutil.copytree(world.run(BETTER), other)
    assert (await registry.register(other)).id == "all@2"


async def test_a_hosted_model_is_a_version_without_an_adapter(registry: Registry) -> None:
    facts = {"base": "gpt-x", "provider": "openai", "run": "ftjob-1", "dataset": "d1"}
    version = await registry.register_hosted("ft:gpt-x:abc", **facts)
    assert (version.id, version.provider, version.metrics) == (
        ("all@1", "openai", {"model": "ft:gpt-x:abc"})
    )
    assert await registry.register_hosted("ft:gpt-x:abc", **facts) == version
    assert files(registry) == ["all@1/version.json"]
    assert await registry.sweep() == []
