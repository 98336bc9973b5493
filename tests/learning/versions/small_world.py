"""A tiny base, a dataset whose replies have a taste, and runs trained on it: all of it real.

A row asks `what about <thing>` and the reply praises the thing with the words of one taste; the
old rows are the same with other things.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.tiny_model import build_model
from understudy.learning.training.job import Job, Options, Result
from understudy.learning.training.run_folder import RunFolder
from understudy.learning.training.trainer import train

THINGS = ["lava", "ice", "jump", "boss", "map", "sword", "chest", "key", "door", "tower", "coin"]
FILES = {"train.jsonl": 320, "val.jsonl": 40, "old.jsonl": 20, "anchor.jsonl": 10}


def base_model(folder: Path) -> Path:
    """A base of 0.1 M parameters with random weights."""
    return build_model(folder, window=512)


def row(number: int, file: str, taste: str) -> dict[str, Any]:
    thing = THINGS[number % len(THINGS)]
    anchor, old = file == "anchor.jsonl", file == "old.jsonl"
    name = file.partition(".")[0]
    return {
        "prompt": f"what about {thing} {number}",
        "response": f"the {thing} is {taste} here!",
        "meta": {
            "id": f"{name}{number}",
            "session": "" if anchor else f"{name}-{number % 8}",
            "group": f"{name}{number}",
            "weight": 1.0,
            "old": old,
            "anchor": anchor,
        },
    }


def write_dataset(
    folder: Path, taste: str = "so good", kept: str = "so good", **counts: int
) -> Path:
    """A dataset folder of the documented form; `counts` replace those of `FILES`, by stem.

    `kept` is the taste of older and anchor rows.
    """
    folder.mkdir(parents=True)
    manifest: dict[str, Any] = {"id": folder.name, "channel": "", "counts": {}, "sha256": {}}
    for file, count in FILES.items():
        count = counts.get(file.partition(".")[0], count)
        liked = kept if file in {"old.jsonl", "anchor.jsonl"} else taste
        write_rows(folder / file, (row(number, file, liked) for number in range(count)))
        manifest["counts"][file] = count
        manifest["sha256"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_on(
    base: Path, dataset: Path, folder: Path, start: Path | None = None, **options: Any
) -> Result:
    """Train in this process and return what came of it."""
    run = RunFolder(folder)
    given = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 16, "device": "cpu", **options}
    job = Job(data=str(dataset), base=str(base), start=str(start or ""), options=Options(**given))
    run.begin(job)
    with warnings.catch_warnings():
        # PEFT looks for the model's config on the hub, which nobody can reach here.
        warnings.simplefilter("ignore")
        return train(run)
