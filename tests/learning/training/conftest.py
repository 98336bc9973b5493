"""A tiny model, rows it can learn, and runs."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import build_model
from understudy.learning.training.job import Job, Options
from understudy.learning.training.run_folder import RunFolder

# PEFT asks a model for something that transformers has renamed.
PEFT_WARNING = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"

ROWS = [
    {"prompt": f"what is {number}?", "response": f"it is {number * 2}, my friend"}
    for number in range(24)
]
HELD_OUT = [
    {"prompt": f"tell {n}!", "response": f"it is {n}, my friend", "meta": {"split": "val"}}
    for n in range(6)
]

MakeRun = Callable[..., RunFolder]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(PEFT_WARNING))


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    return build_model(tmp_path_factory.mktemp("training") / "base")


@pytest.fixture
def make_run(tmp_path: Path, base: Path) -> MakeRun:
    """Makes run folders: `make_run(rows, name=…, method=…, epochs=…)`."""

    def make(rows: Iterable[Any] = ROWS, name: str = "run", **asked: Any) -> RunFolder:
        job = {key: asked.pop(key) for key in ("method", "old", "replay", "start") if key in asked}
        data = asked.pop("data", None) or write_rows(tmp_path / f"{name}.jsonl", rows)
        job.setdefault("base", str(asked.pop("base", base)))
        asked.setdefault("learning_rate", 5e-3)
        folder = RunFolder(tmp_path / name)
        folder.begin(Job(data=str(data), options=Options(device="cpu", **asked), **job))
        return folder

    return make
