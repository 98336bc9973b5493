"""A version for other programs: an adapter, a whole model, or a file for llama.cpp.

Owns the formats. Does not own the registry. What is written appears whole or not at all.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from understudy.brains.huggingface.adapters import CONFIG, WEIGHTS
from understudy.learning.training.base_model import identify, locate
from understudy.learning.training.errors import reason_of, require
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry
from understudy.storage.versions import ModelVersion

CONVERTER = "convert_hf_to_gguf.py"


async def export_adapter(registry: Registry, version: ModelVersion, out: Path) -> Path:
    """The PEFT adapter of `version` as the new folder `out`; raises `VersionError`."""
    source = _adapter(registry, version)

    def write() -> None:
        with _draft(out) as draft:
            draft.mkdir()
            for name in (CONFIG, WEIGHTS):
                shutil.copyfile(source / name, draft / name)

    await asyncio.to_thread(write)
    return out


async def export_merged(registry: Registry, version: ModelVersion, base: str, out: Path) -> Path:
    """`base` with the adapter of `version` merged into its weights, as the new folder `out`.

    Raises `VersionError`, also when `base` is not the model the version is of, and
    `TrainingError`.
    """
    source = _adapter(registry, version)

    def write() -> None:
        with _draft(out) as draft:
            _merge(version, source, _checked_base(version, base), draft)

    await asyncio.to_thread(write)
    return out


async def export_gguf(
    registry: Registry, version: ModelVersion, base: str, out: Path, llama_cpp: Path
) -> Path:
    """The merged model as the new GGUF file `out`, by the converter of a llama.cpp checkout.

    Raises `VersionError`, with what the converter said last when it fails.
    """
    source = _adapter(registry, version)
    converter = llama_cpp / CONVERTER
    if not converter.is_file():
        raise VersionError(
            f"{llama_cpp} is no checkout of llama.cpp ({CONVERTER} is not there): name the folder "
            "of one"
        )
    folder = await asyncio.to_thread(_checked_base, version, base)
    with _draft(out) as draft:
        merged = draft.with_name(f"{draft.name}-model")
        try:
            await asyncio.to_thread(_merge, version, source, folder, merged)
            await _convert(converter, merged, draft)
        finally:
            await asyncio.to_thread(shutil.rmtree, merged, ignore_errors=True)
    return out


async def _convert(converter: Path, model: Path, out: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(converter),
        str(model),
        "--outfile",
        str(out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        printed, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode or not await asyncio.to_thread(out.is_file):
        lines = [line for line in printed.decode("utf-8", "replace").splitlines() if line.strip()]
        last = lines[-1].strip()[:300] if lines else "it said nothing"
        raise VersionError(
            f"{CONVERTER} made no file ({last}): run it by hand, or install what it needs"
        )


def _adapter(registry: Registry, version: ModelVersion) -> Path:
    if version.metrics.get("model"):
        raise VersionError(
            f"version {version.id} lies at {version.provider} and has no files: it cannot be "
            "exported"
        )
    return registry.adapter(version)


def _checked_base(version: ModelVersion, base: str) -> Path:
    folder = locate(base)
    if identify(folder).hash != version.base_hash:
        raise VersionError(
            f"version {version.id} is of {version.base} and not of {base}: name that model with "
            "--base"
        )
    return folder


def _merge(version: ModelVersion, adapter: Path, base: Path, out: Path) -> None:
    peft, transformers = require("peft"), require("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype="auto")
    merged = peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    try:
        merged.save_pretrained(str(out))
        transformers.AutoTokenizer.from_pretrained(str(base)).save_pretrained(str(out))
    except OSError as error:
        raise VersionError(
            f"version {version.id} cannot be written ({reason_of(error)}): make room"
        ) from error


@contextmanager
def _draft(out: Path) -> Generator[Path]:
    """A place beside `out` that takes its name at the end, unless something failed."""
    if out.exists():
        raise VersionError(f"{out} is there already: choose another name")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=out.parent))
    except OSError as error:
        raise VersionError(
            f"{out} cannot be written ({reason_of(error)}): choose another place"
        ) from error
    try:
        yield folder / out.name
        os.replace(folder / out.name, out)
    except OSError as error:
        raise VersionError(
            f"{out} cannot be written ({reason_of(error)}): make room or choose another place"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
