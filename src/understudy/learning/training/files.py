"""Files of a run that appear whole or not at all.

Owns temporary names and the way to the disk. Does not own what is written.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from understudy.learning.atomic_file import sync_folder
from understudy.learning.training.errors import TrainingError, reason_of


def write_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of `path`; raises `TrainingError` and leaves what was there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as error:
        raise _not_written(path, error) from error


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put a folder with exactly `files` in the place of `folder`; raises `TrainingError`."""
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, content in files.items():
            _replace(part / name, content)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _not_written(path: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"{path.name} cannot be written ({reason_of(error)}): make room, then go on with --resume"
    )
