import errno
import json
import os
from pathlib import Path

import pytest

from understudy.learning.datasets import store as module
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.datasets.store import (
    DatasetFilter,
    Datasets,
    Draft,
    Manifest,
    Origins,
    ViewerShare,
)

NOW = 1_795_284_000_123
ID = "20261121-180000-123"


def manifest(draft: Draft, id: str = ID) -> Manifest:
    return Manifest(
        id=id,
        created=NOW,
        channel="alice",
        persona="",
        filter=DatasetFilter(),
        counts=dict(draft.counts),
        replay=0.25,
        anchor=0.05,
        seed=0,
        sha256=draft.sha256,
        report={},
        parent="",
        looked_at=1,
        rows=Origins(1, 0, 0, 0),
        viewer_share=ViewerShare(1, 1),
        redacted={},
    )


def row(id: str) -> bytes:
    return json.dumps({"prompt": "hi", "response": "Hello!", "meta": {"id": id}}).encode()


def made(folder: Path) -> Datasets:
    found = Datasets(folder)
    with found.draft() as draft:
        draft.write("train.jsonl", row("a"))
        draft.write("val.jsonl", row("b"))
        draft.commit(manifest(draft))
    return found


def test_a_dataset_appears_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "learning" / "datasets"
    with Datasets(folder).draft() as draft:
        draft.write("train.jsonl", row("a"))
        assert Datasets(folder).manifests() == []
        draft.commit(manifest(draft))
    assert [path.name for path in folder.iterdir()] == [ID]
    known = Datasets(folder)
    assert known.manifests() == [known.load(ID)]
    assert known.latest("alice", "") == known.load(ID)
    assert known.latest("", "") is None
    if os.name == "posix":
        for path in (folder / ID, *(folder / ID).iterdir()):
            assert path.stat().st_mode & 0o077 == 0


def test_without_a_commit_nothing_is_left(tmp_path: Path) -> None:
    with Datasets(tmp_path).draft() as draft:
        draft.write("train.jsonl", row("a"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_put_aside_is_found_again(tmp_path: Path) -> None:
    with Datasets(tmp_path).draft() as draft:
        places = [draft.keep(text.encode()) for text in ("one", "", "drei ü")]
        assert [draft.kept(place).decode() for place in reversed(places)] == ["drei ü", "", "one"]


def test_ids_are_in_order_and_never_taken_twice(tmp_path: Path) -> None:
    found = made(tmp_path)
    with found.draft() as draft:
        assert draft.new_id(NOW) == "20261121-180000-124"
        assert draft.new_id(NOW + 1_000) == "20261121-180001-123"
        assert draft.new_id(0) == "19700101-000000-000"


def test_used_are_the_rows_of_all_files_but_anchors(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert found.used(found.manifest(ID)) == {"a": NOW, "b": NOW}


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda p: (p / "train.jsonl").write_bytes(row("c")), "train.jsonl of dataset .* changed"),
        (lambda p: (p / "train.jsonl").open("ab").close() or p.joinpath("val.jsonl").unlink(),
         "val.jsonl of dataset .* is missing"),
        (lambda p: (p / "manifest.json").write_text("{"), "manifest of dataset .* cannot be read"),
        (lambda p: (p / "manifest.json").unlink(), "manifest of dataset .* cannot be read"),
        (lambda p: (p / "manifest.json").write_text('{"id": "x"}'), "cannot be read"),
    ],
)  # fmt: skip
def test_what_was_changed_is_refused(tmp_path: Path, harm: object, word: str) -> None:
    found = made(tmp_path)
    harm(tmp_path / ID)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=word):
        found.load(ID)


@pytest.mark.parametrize("name", ["20200101-000000-000", "../alice", "", "x" * 500])
def test_an_unknown_dataset_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"there is no dataset .*: see understudy"):
        made(tmp_path).load(name)


def test_a_renamed_dataset_is_refused(tmp_path: Path) -> None:
    found = made(tmp_path)
    (tmp_path / ID).rename(tmp_path / "20261121-180000-999")
    with pytest.raises(DatasetError, match=f"was renamed from {ID}"):
        found.load("20261121-180000-999")


def test_what_a_killed_build_left_behind_is_swept(tmp_path: Path) -> None:
    found = made(tmp_path)
    (tmp_path / ".draft-dead").mkdir()
    with found.building():
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ID]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Datasets(tmp_path).draft() as draft:
        draft.write("train.jsonl", row("a"))
        monkeypatch.setattr(module.os, "fsync", full)
        with pytest.raises(DatasetError, match=r"no space left on device\): make room"):
            draft.commit(manifest(draft))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DatasetError, match="cannot be written to"),
        Datasets(tmp_path / "file" / "datasets").draft(),
    ):
        pass
