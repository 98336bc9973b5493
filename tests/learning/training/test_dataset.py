"""Dataset folders as a source of rows."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.learning.training.conftest import HELD_OUT, ROWS, write_rows
from understudy.learning.training.dataset import load_training_rows
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.job import Job


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "20261121-one"
    folder.mkdir()
    write_rows(folder / "train.jsonl", ROWS)
    write_rows(folder / "val.jsonl", HELD_OUT)
    write_rows(folder / "kto.jsonl", [{**row, "label": True} for row in ROWS])
    files = sorted(folder.iterdir())
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    manifest = {"id": folder.name, "sha256": hashes, "counts": {}, "replay": 0.25}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def load(folder: Path, **asked: Any) -> Any:
    return load_training_rows(Job(data=str(folder), base="b", **asked))


def test_a_dataset_is_trained_as_it_is(dataset: Path) -> None:
    rows = load(dataset)
    assert (len(rows.train), len(rows.held_out), rows.read) == (24, 6, 30)
    assert rows.identity.id == "20261121-one"
    labelled = load(dataset, method="kto")
    assert (len(labelled.train), len(labelled.held_out)) == (24, 0)
    assert labelled.identity.hash != rows.identity.hash
    (dataset / "val.jsonl").unlink()
    assert load(dataset).held_out == []


def test_what_is_wrong_with_a_dataset_is_told(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"has no pairs\.jsonl, which dpo needs"):
        load(dataset, method="dpo")
    with pytest.raises(TrainingError, match="leave --old out"):
        load(dataset, old="old.jsonl")
    with (dataset / "train.jsonl").open("a") as more:
        more.write("\n")
    with pytest.raises(TrainingError, match=r"train\.jsonl of dataset 20261121-one was changed"):
        load(dataset)
    with pytest.raises(TrainingError, match="is no dataset"):
        load(tmp_path)
    with pytest.raises(TrainingError, match=r"cannot be read \(no such file"):
        load(tmp_path / "nowhere.jsonl")
    pairs = write_rows(tmp_path / "pairs.jsonl", [{"prompt": "a", "chosen": "b"}])
    with pytest.raises(TrainingError, match="`rejected`"):
        load(pairs, method="dpo")
    with pytest.raises(TrainingError, match="dpo takes no older rows"):
        load(pairs, method="dpo", old=str(pairs))


def test_a_row_of_a_file_counts_once(tmp_path: Path) -> None:
    other = {**ROWS[0], "response": "something else"}
    file = write_rows(tmp_path / "rows.jsonl", [ROWS[0]] * 50 + [other, HELD_OUT[0], HELD_OUT[0]])
    rows = load(file)
    assert [row.response for row in rows.train] == [ROWS[0]["response"], "something else"]
    assert len(rows.held_out) == 1
    assert rows.left_out == {"repeats another row": 50}
    assert rows.read == 53
