"""Trained versions: their names, their folders under `DIR/models/`, and their registration.

Owns `models/<version>/` (`adapter/` and `version.json`) and the promise that a version is
registered whole or not at all. Does not own the rows (`storage.versions`), what a run folder holds
(`training`) nor which version answers (`deploying`).

A version gets its name when its finished folder does: files first, under a draft name, then one
rename, then the row. What a crash leaves between two of those steps, `sweep` completes or removes.
"""

import asyncio
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from understudy.brains.huggingface.adapters import CONFIG, WEIGHTS
from understudy.events import now_ms
from understudy.learning.training.adapter import hash_adapter
from understudy.learning.training.errors import TrainingError, reason_of
from understudy.learning.training.job import Result
from understudy.learning.training.run_folder import RESULT, RunFolder
from understudy.learning.versions.errors import VersionError
from understudy.storage.rows import BASE
from understudy.storage.versions import ModelVersion, ModelVersions

ADAPTER, CARD = "adapter", "version.json"
FOR_ALL = "all"
"""Stands for the empty channel in names of versions."""
_DRAFT = ".draft-"
_DRAFT_SECONDS = 3_600
"""A draft this old belongs to nobody any more: writing one takes seconds."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*@[1-9][0-9]*")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


class Registry:
    """The versions in one folder and their rows."""

    def __init__(self, folder: Path, versions: ModelVersions) -> None:
        """`folder` is `DIR/models`; it need not exist yet."""
        self.versions = versions
        self._folder = folder

    async def get(self, version: str) -> ModelVersion:
        """The version of this name; raises `VersionError` when there is none."""
        found = await self.versions.get(version)
        if found is None:
            known = ", ".join(v.id for v in (await self.versions.list())[-5:]) or "none"
            raise VersionError(f"there is no version {version[:80]}: there are {known}")
        return found

    def folder(self, version: str) -> Path:
        """Where the files of a version lie; raises `VersionError` for what is no version's name."""
        if not _NAME.fullmatch(version):
            raise VersionError(
                f"{version[:80]!r} is no version: write its channel or all, @ and its number"
            )
        return self._folder / version

    def adapter(self, version: ModelVersion) -> Path:
        """The folder of the adapter of a version; raises `VersionError` unless it is whole."""
        folder = self.folder(version.id) / ADAPTER
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise VersionError(
                    f"version {version.id} has no {name} in {folder}: restore the folder, or train "
                    "again"
                )
        return folder

    async def register(self, run: Path, *, channel: str = "", base_hash: str = "") -> ModelVersion:
        """Make a candidate of what the run in `run` trained; raises `VersionError`.

        `base_hash` is the model it is for: a run on another base is refused. A run that was
        registered before gives the same version again.
        """
        result = await asyncio.to_thread(_finished, run)
        if base_hash and result.base.hash != base_hash:
            raise VersionError(
                f"run {run.name} was trained on another model ({result.base.name}) than the one "
                "that is used: train again, or set brain.model to that one"
            )
        known = await self.versions.of_run(run.name, result.adapter_hash)
        if known is not None:
            return known
        parent = await self._of_adapter(result.start) if result.start else ""
        return await self._store(run / ADAPTER, _describe(result, run.name, channel, parent))

    async def register_hosted(
        self, model: str, *, base: str, provider: str, run: str, dataset: str, channel: str = ""
    ) -> ModelVersion:
        """Make a candidate of `model`, which was trained and lies at `provider`.

        It has no files here but its card; a run that was registered before gives the same version.
        """
        known = await self.versions.of_run(run)
        if known is not None:
            return known
        version = ModelVersion(
            id="",
            channel=channel,
            base=base,
            base_hash="",
            provider=provider,
            dataset=dataset,
            run=run,
            metrics={"model": model},
            created=now_ms(),
        )
        return await self._store(None, version)

    async def sweep(self) -> list[str]:
        """Complete or remove what a crash left; one sentence for each thing that was done or found.

        To be called when a process starts that serves or trains.
        """
        done = await asyncio.to_thread(self._remove_drafts)
        for folder in await asyncio.to_thread(self._named_folders):
            if await self.versions.get(folder.name) is None:
                done.append(await self._complete(folder))
        for version in await self.versions.list():
            if not await asyncio.to_thread(self._is_whole, version):
                # Perhaps they lie on another machine: that is no reason to change its state.
                done.append(f"version {version.id} has no files here: it cannot be served")
        return done

    async def _store(self, adapter: Path | None, version: ModelVersion) -> ModelVersion:
        while True:
            number = await self._next_number(version.channel)
            named = msgspec.structs.replace(version, id=f"{_label(version.channel)}@{number}")
            if not await asyncio.to_thread(self._write, named, adapter):
                continue
            if await self.versions.add(named):
                return named
            # Another machine with the same database, and a disk of its own, took the name.
            await asyncio.to_thread(shutil.rmtree, self.folder(named.id), ignore_errors=True)

    async def _of_adapter(self, adapter_hash: str) -> str:
        """The version with this adapter; raises `VersionError`, for without it a line has a gap."""
        for version in await self.versions.list():
            if version.adapter_hash == adapter_hash:
                return version.id
        raise VersionError(
            "the run went on from an adapter that is no version: register that one first"
        )

    async def _next_number(self, channel: str) -> int:
        names = [version.id for version in await self.versions.list()]
        names += [folder.name for folder in await asyncio.to_thread(self._named_folders)]
        label = _label(channel)
        numbers = [int(name.rpartition("@")[2]) for name in names if name.startswith(f"{label}@")]
        return max(numbers, default=0) + 1

    def _write(self, version: ModelVersion, adapter: Path | None) -> bool:
        """Write the folder of a version, whole or not at all; False when its name is taken."""
        draft: Path | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._folder))
            if adapter is not None:
                (draft / ADAPTER).mkdir()
                for name in (CONFIG, WEIGHTS):
                    _copy(adapter / name, draft / ADAPTER / name)
            write_json(draft / CARD, version)
            # Refused when there is a folder of that name, for none of ours is empty.
            os.rename(draft, self._folder / version.id)
        except FileExistsError:
            return False
        except OSError as error:
            if (self._folder / version.id).is_dir():
                return False
            raise VersionError(
                f"the version cannot be written to {self._folder} ({reason_of(error)}): make room "
                "or choose another data directory"
            ) from error
        finally:
            if draft is not None:
                shutil.rmtree(draft, ignore_errors=True)
        return True

    def _remove_drafts(self) -> list[str]:
        drafts = list(self._folder.glob(f"{_DRAFT}*"))
        old = [d for d in drafts if time.time() - d.stat().st_mtime > _DRAFT_SECONDS]
        for draft in old:
            shutil.rmtree(draft, ignore_errors=True)
        return ["an unfinished registration was removed"] * len(old)

    def _named_folders(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(f for f in self._folder.iterdir() if _NAME.fullmatch(f.name) and f.is_dir())

    async def _complete(self, folder: Path) -> str:
        """Give a folder without a row its row, from the card in it."""
        try:
            data = await asyncio.to_thread((folder / CARD).read_bytes)
            version = msgspec.json.decode(data, type=ModelVersion)
        except (OSError, msgspec.DecodeError):
            return f"{folder} is left out, for it has no readable {CARD}: remove it"
        if version.id != folder.name or not self._is_whole(version):
            return f"{folder} is left out, for it is not whole: remove it"
        await self.versions.add(version)
        return f"version {version.id} was registered to its end"

    def _is_whole(self, version: ModelVersion) -> bool:
        if not version.adapter_hash:
            return True
        folder = self._folder / version.id / ADAPTER
        return all((folder / name).is_file() for name in (CONFIG, WEIGHTS))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as one readable JSON document, durably."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def is_base(version: str) -> bool:
    """Whether `version` names the model without any training of ours."""
    return version in {"", BASE}


def _finished(run: Path) -> Result:
    """What came of a run; raises `VersionError` unless it is done and its adapter is whole."""
    try:
        result = RunFolder(run).result()
    except TrainingError as error:
        raise VersionError(str(error)) from None
    if result is None:
        raise VersionError(
            f"{run} holds no finished run ({RESULT} is not there): train it to its end"
        )
    if result.state != "done":
        why = f" ({result.error})" if result.error else ""
        raise VersionError(
            f"run {run.name} is {result.state} and not done{why}: train it to its end"
        )
    for name in (CONFIG, WEIGHTS):
        if not (run / ADAPTER / name).is_file():
            raise VersionError(
                f"run {run.name} has no {ADAPTER}/{name}: it is damaged, so train it again"
            )
    if hash_adapter(run / ADAPTER) != result.adapter_hash:
        raise VersionError(
            f"the adapter of run {run.name} is not the one that was trained (its hash differs): "
            "train it again"
        )
    return result


def _describe(result: Result, run: str, channel: str, parent: str) -> ModelVersion:
    return ModelVersion(
        id="",
        channel=channel,
        parent=parent,
        base=result.base.name,
        base_hash=result.base.hash,
        adapter_hash=result.adapter_hash,
        dataset=result.dataset.id,
        run=run,
        metrics=msgspec.to_builtins(
            {
                "method": result.method,
                "losses": result.losses,
                "rows": result.rows,
                "tokens": result.tokens,
                "seconds": result.seconds,
            }
        ),
        created=now_ms(),
    )


def _label(channel: str) -> str:
    """The channel as a part of a name that every file system takes."""
    return _UNFIT.sub("_", channel)[:64] or FOR_ALL


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
