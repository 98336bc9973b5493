"""What a job is trained on: a dataset folder, or files.

Owns which rows are trained and which are held out. Does not own how a dataset is made
(`learning.datasets`) nor what a row must hold (`rows`).
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from understudy.learning.training.errors import TrainingError, reason_of
from understudy.learning.training.job import DatasetIdentity, Job, Method
from understudy.learning.training.rows import AnyRow, LabelledRow, LoadedRows, Pair, Row, load_rows

MANIFEST = "manifest.json"
_FILES: dict[Method, str] = {"sft": "train.jsonl", "kto": "kto.jsonl", "dpo": "pairs.jsonl"}
_HELD_OUT = "val.jsonl"


class _Manifest(msgspec.Struct):
    id: str
    sha256: dict[str, str] = {}


class TrainingRows(msgspec.Struct):
    """The rows of a job. Only replies to be learned (`sft`) have held-out rows."""

    train: Sequence[Row | Pair]
    held_out: list[Row]
    left_out: Counter[str]
    identity: DatasetIdentity

    @property
    def read(self) -> int:
        """All rows there were."""
        return len(self.train) + len(self.held_out) + sum(self.left_out.values())


def load_training_rows(job: Job) -> TrainingRows:
    """The rows that `job` names; raises `TrainingError`."""
    place = Path(job.data)
    if place.is_dir():
        return _from_dataset(job, place)
    return _from_files(job, place)


def _from_dataset(job: Job, folder: Path) -> TrainingRows:
    if job.old:
        raise TrainingError("a dataset holds its older rows already: leave --old out")
    manifest = _manifest(folder)
    name = _FILES[job.method]
    if not (folder / name).is_file():
        raise TrainingError(
            f"dataset {manifest.id} has no {name}, which {job.method} needs: "
            "choose another method or build another dataset"
        )
    files = [name] + [_HELD_OUT] * (job.method == "sft" and (folder / _HELD_OUT).is_file())
    for file in files:
        expected = manifest.sha256.get(file)
        if expected and _hash(folder / file) != expected:
            raise TrainingError(
                f"{file} of dataset {manifest.id} was changed after it was built: build it again"
            )
    identity = DatasetIdentity(manifest.id, _hash(*(folder / file for file in files)))
    if job.method != "sft":
        return _preferences(job, folder / name, identity)
    train = load_rows(folder / name, Row)
    held_out = load_rows(folder / _HELD_OUT, Row) if len(files) > 1 else None
    return TrainingRows(
        train.rows,
        held_out.rows if held_out else [],
        train.left_out + (held_out.left_out if held_out else Counter()),
        identity,
    )


def _manifest(folder: Path) -> _Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError):
        raise TrainingError(
            f"{folder} is no dataset ({MANIFEST} is missing or cannot be read): "
            "build one with understudy dataset build, or give a JSONL file"
        ) from None


def _from_files(job: Job, file: Path) -> TrainingRows:
    files = [file, Path(job.old)] if job.old else [file]
    identity = DatasetIdentity(file.name, _hash(*files))
    if job.method != "sft":
        return _preferences(job, file, identity)
    loaded = load_rows(file, Row)
    rows = _each_once(loaded.rows)
    train = [row for row in rows if row.meta.split != "val"]
    held_out = [row for row in rows if row.meta.split == "val"]
    left_out = loaded.left_out
    if repeated := len(loaded.rows) - len(rows):
        left_out["repeats another row"] += repeated
    if job.old:
        old = load_rows(Path(job.old), Row)
        fit = [row for row in old.rows if row.meta.split != "val"]
        chosen = sample_old(fit, len(train), job.replay, job.options.seed)
        undrawn = Counter({"older, not drawn": len(old.rows) - len(chosen)})
        left_out = left_out + old.left_out + undrawn
        train = train + chosen
    return TrainingRows(train, held_out, left_out, identity)


def _each_once(rows: list[Row]) -> list[Row]:
    """The first of all rows that say the same: a dataset has none, a file may have nothing else."""
    found: dict[tuple[object, ...], Row] = {}
    for row in rows:
        said = ((message.role, message.content) for message in row.given)
        found.setdefault((*said, row.response), row)
    return list(found.values())


def sample_old(old: list[Row], new: int, share: float, seed: int) -> list[Row]:
    """As many of `old`, marked as such, as make up `share` of them and `new` rows together."""
    wanted = round(new * share / (1 - share))
    chosen = random.Random(f"{seed}:replay").sample(old, min(wanted, len(old)))
    mark = msgspec.structs.replace
    return [mark(row, meta=mark(row.meta, old=True)) for row in chosen]


def _preferences(job: Job, file: Path, identity: DatasetIdentity) -> TrainingRows:
    if job.old:
        raise TrainingError(f"{job.method} takes no older rows: leave --old out")
    if job.method == "kto":
        labelled: LoadedRows[LabelledRow] = load_rows(file, LabelledRow)
        return _only_trained(labelled, identity)
    return _only_trained(load_rows(file, Pair), identity)


def _only_trained(loaded: LoadedRows[AnyRow], identity: DatasetIdentity) -> TrainingRows:
    return TrainingRows(loaded.rows, [], loaded.left_out, identity)


def _hash(*files: Path) -> str:
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
    except OSError as error:
        raise TrainingError(
            f"{error.filename} cannot be read ({reason_of(error)}): check the name"
        ) from error
    return digest.hexdigest()
