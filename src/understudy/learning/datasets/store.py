"""Datasets on the disk: `DIR/learning/datasets/<id>/`, never changed once they are there.

Owns the folder, its manifest, and the proof that nothing in it was changed. Does not own what goes
into a dataset (`builder`).
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from understudy.learning.atomic_file import sync_folder
from understudy.learning.datasets.errors import DatasetError

MANIFEST = "manifest.json"
DRAFT = ".draft-"
ROW_FILES = ("train.jsonl", "val.jsonl", "old.jsonl")
"""Files of rows that come from experiences, for training and held out."""
_PREFERENCE_FILES = ("kto.jsonl", "pairs.jsonl")
_TRAINING_FILES = ("train.jsonl", *_PREFERENCE_FILES)

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]{3}")


class DatasetFilter(msgspec.Struct, frozen=True):
    """What was asked for beside channel and persona: new rows from this time (ms) on."""

    since: int = 0


class Origins(msgspec.Struct, frozen=True):
    """Where the rows to train on come from: new, drawn from so many older ones, hand-written."""

    new: int
    old: int
    old_known: int
    anchor: int


class ViewerShare(msgspec.Struct, frozen=True):
    """How many viewers were answered in the new rows, and most rows that one of them may have."""

    viewers: int
    cap: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dataset.

    `created` is in ms. `counts` and `sha256` are by file; `report` says how many experiences were
    left out of training and why, of all that were `looked_at`. `parent` is the former dataset of
    the same channel and persona, empty for the first.
    """

    id: str
    created: int
    channel: str
    persona: str
    filter: DatasetFilter
    counts: dict[str, int]
    replay: float
    anchor: float
    seed: int
    sha256: dict[str, str]
    report: dict[str, int]
    parent: str
    looked_at: int
    rows: Origins
    viewer_share: ViewerShare
    redacted: dict[str, int]
    warnings: list[str] = []


class Datasets:
    """The datasets in one folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not exist yet."""
        self.folder = folder

    def manifests(self) -> list[Manifest]:
        """The manifests of all datasets, oldest first; raises `DatasetError` for a broken one."""
        if not self.folder.is_dir():
            return []
        names = sorted(p.name for p in self.folder.iterdir() if _ID.fullmatch(p.name))
        return [self.manifest(name) for name in names]

    def manifest(self, dataset: str) -> Manifest:
        """What is known of a dataset, unproved; raises `DatasetError`."""
        if not _ID.fullmatch(dataset) or not (self.folder / dataset).is_dir():
            raise DatasetError(f"there is no dataset {dataset[:64]}: see understudy dataset list")
        try:
            data = (self.folder / dataset / MANIFEST).read_bytes()
            manifest = msgspec.json.decode(data, type=Manifest)
        except (OSError, msgspec.DecodeError):
            raise DatasetError(
                f"the manifest of dataset {dataset} cannot be read: build the dataset again"
            ) from None
        if manifest.id != dataset:
            raise DatasetError(f"dataset {dataset} was renamed from {manifest.id}: name it back")
        return manifest

    def load(self, dataset: str) -> Manifest:
        """The manifest, once every file is proved to be as it was built; raises `DatasetError`."""
        manifest = self.manifest(dataset)
        for name, expected in manifest.sha256.items():
            path = self.folder / dataset / name
            if not path.is_file():
                raise DatasetError(f"{name} of dataset {dataset} is missing: build it again")
            if _sha256(path) != expected:
                raise DatasetError(
                    f"{name} of dataset {dataset} was changed after it was built: build it again"
                )
        return manifest

    def latest(self, channel: str, persona: str, without: Collection[str] = ()) -> Manifest | None:
        """The newest dataset of just this channel and persona; None when there is none.

        Those whose ids are in `without` count as if they had never been built.
        """
        same = [m for m in self.manifests() if (m.channel, m.persona) == (channel, persona)]
        return next((m for m in reversed(same) if m.id not in without), None)

    def used(self, manifest: Manifest, without: Collection[str] = ()) -> dict[str, int]:
        """The experiences used in a dataset and all before it, and when last (ms), by id.

        Those in `without` are passed over. A dataset that was deleted ends the line. Raises
        `DatasetError` for one that was changed.
        """
        found: dict[str, int] = {}
        step: Manifest | None = self.load(manifest.id)
        while step is not None:
            if step.id not in without:
                for row in self._rows(step.id, ROW_FILES):
                    found.setdefault(row.id, step.created)
            known = step.parent and (self.folder / step.parent).is_dir()
            step = self.load(step.parent) if known else None
        return found

    def new_rows(self, dataset: str) -> set[str]:
        """The experiences that a dataset was the first to use, by their ids.

        Raises `DatasetError` for one that was changed.
        """
        manifest = self.load(dataset)
        new = {row.id for row in self._rows(dataset, ROW_FILES) if not row.old}
        # A reply that was only ever disliked is old to no dataset: its time tells.
        known = manifest.parent and (self.folder / manifest.parent).is_dir()
        since = self.manifest(manifest.parent).created if known else 0
        judged = self._rows(dataset, _PREFERENCE_FILES)
        return new | {row.id for row in judged if not row.old and row.ts >= since}

    def trained_rows(self, dataset: str) -> set[str]:
        """The experiences among the rows to train on, new and old, by their ids.

        Raises `DatasetError`.
        """
        self.manifest(dataset)
        return {row.id for row in self._rows(dataset, _TRAINING_FILES)}

    def draft(self) -> "Draft":
        """A new dataset that is not there yet."""
        return Draft(self.folder)

    @contextmanager
    def building(self) -> Generator[None]:
        """Build one dataset at a time; raises `DatasetError` when another process builds one."""
        _make(self.folder)
        with (self.folder / ".lock").open("wb") as file:
            if not _lock(file):
                raise DatasetError("another dataset is being built: wait until it is done")
            for left_behind in self.folder.glob(f"{DRAFT}*"):
                shutil.rmtree(left_behind, ignore_errors=True)
            yield

    def _rows(self, dataset: str, names: Iterable[str]) -> "Iterator[_Meta]":
        """What is known of the rows in these files that come from experiences."""
        decoder = msgspec.json.Decoder(_Line)
        for name in names:
            path = self.folder / dataset / name
            if not path.is_file():
                continue
            with path.open("rb") as file:
                for line in file:
                    meta = decoder.decode(line).meta
                    if not meta.anchor:
                        yield meta


class _Meta(msgspec.Struct):
    id: str
    ts: int = 0
    old: bool = False
    anchor: bool = False


class _Line(msgspec.Struct):
    meta: _Meta


class Draft:
    """A dataset that is being written, under another name until `commit`.

    Without a commit nothing is left behind. Everything is readable by its owner only. Methods
    raise `DatasetError` when the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._draft = Path()
        self._files: dict[str, _RowFile] = {}
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        with _explained(self._folder):
            _make(self._folder)
            self._spool = tempfile.TemporaryFile(dir=self._folder)
            self._draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self._folder))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in [*(rows.file for rows in self._files.values()), self._spool]:
            # A full disk refuses the last buffer once more; the file goes away anyway.
            with suppress(OSError):
                file.close()
        shutil.rmtree(self._draft, ignore_errors=True)

    def keep(self, data: bytes) -> tuple[int, int]:
        """Put `data` aside; returns where it is found again, as offset and length."""
        with _explained(self._folder):
            offset = self._spool.tell()
            self._spool.write(data)
        return offset, len(data)

    def kept(self, place: tuple[int, int]) -> bytes:
        """What was put aside at `place`. Nothing can be put aside after that."""
        with _explained(self._folder):
            self._spool.seek(place[0])
            return self._spool.read(place[1])

    def write(self, name: str, line: bytes) -> None:
        """Append a row to one of the dataset's files."""
        with _explained(self._folder):
            if name not in self._files:
                self._files[name] = _RowFile(self._draft / name)
            self._files[name].write(line + b"\n")
        self.counts[name] += 1

    @property
    def sha256(self) -> dict[str, str]:
        """The hash of every file so far."""
        return {name: rows.sha256 for name, rows in sorted(self._files.items())}

    def new_id(self, now: int) -> str:
        """An id for a dataset built at `now` (ms): ids are in order of time."""
        moment = datetime.fromtimestamp(now / 1000, UTC)
        while (name := f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03}") and (
            self._folder / name
        ).exists():
            moment += timedelta(milliseconds=1)
        return name

    def commit(self, manifest: Manifest) -> None:
        """Bring everything to the disk and give the folder its name."""
        with _explained(self._folder):
            for rows in self._files.values():
                rows.close()
            card = _RowFile(self._draft / MANIFEST)
            card.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
            card.close()
            os.replace(self._draft, self._folder / manifest.id)
            sync_folder(self._folder)


class _RowFile:
    """A file of the draft, readable by its owner only, and the hash of what is in it."""

    def __init__(self, path: Path) -> None:
        self.file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self._digest.update(data)

    def close(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _explained(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DatasetError(
            f"the dataset cannot be written to {folder} ({reason}): make room or choose another "
            "data directory"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lock(file: IO[bytes]) -> bool:
    """Whether this process has the file for itself, until it closes it or dies."""
    try:
        import fcntl
    except ImportError:
        # On Windows two builds at a time are not kept apart.
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
