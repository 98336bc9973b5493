"""A file that appears whole or not at all.

Owns the temporary file, its way to the disk and to its name. Does not own what is written.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ExportError(Exception):
    """A file cannot be written; the message is one sentence."""


class AtomicFile:
    """Writes beside `path` and takes its name on `commit`; without it nothing is left behind.

    The file is readable by its owner only: exports hold what people said. All methods work in a
    thread and raise `ExportError`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._file = await self._call(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._discard)

    async def write(self, data: bytes) -> None:
        """Append `data`."""
        await self._call(self._opened.write, data)

    async def commit(self) -> None:
        """Bring everything to the disk and give the file its name."""
        await self._call(self._commit)

    @property
    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise RuntimeError("the file is not open")
        return self._file

    def _open(self) -> IO[bytes]:
        if self._path.exists() and not self._path.is_file():
            raise ExportError(f"{self._path} is not a file: choose another name to write to")
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(
            dir=folder, prefix=f".{self._path.name[:64]}.", suffix=".part", delete=False
        )

    def _commit(self) -> None:
        file = self._opened
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(file.name, self._path)
        self._file = None
        sync_folder(self._path.parent)

    def _discard(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            file.close()
        except OSError:
            # A full disk refuses the last buffer once more; the file goes away anyway.
            pass
        finally:
            Path(file.name).unlink(missing_ok=True)

    async def _call(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(act, *args, **kwargs)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise ExportError(
                f"{self._path} cannot be written ({reason}): make room or choose another place"
            ) from error


def sync_folder(folder: Path) -> None:
    """Make the new name durable where folders can be opened (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
