"""What a training file must hold, and what is told about one that does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.learning.training.conftest import write_rows
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.rows import LabelledRow, Pair, Row, load_rows

GOOD = b'{"prompt": "hi", "response": "hello"}\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"prompt": "hi"}\n', "line 1: object missing required field `response`"),
        (GOOD + b"\n" + b'{"response": "x"}\n', "line 3: object missing required field `prompt`"),
        (b'{"prompt": 3, "response": "x"}', "line 1: expected `str`, got `int`"),
        (GOOD + b"{oops\n", "line 2 is no JSON: every line must be one object"),
        (b'["prompt"]', "line 1: expected `object`, got `array`"),
        ('{"prompt": "für", "response": "x"}'.encode("latin-1"), "line 1 is not UTF-8: save"),
        ('{"prompt": "hi", "response": "x"}'.encode("utf-16"), "is written in UTF-16: save it as"),
        (b'{"prompt":"a","response":"b","meta":{"weight":-1}}', "has the weight -1.0: give 0"),
        (b'{"prompt":"a","response":"b","messages":[{"role":"user"}]}', "field `content`"),
        (b"\x00\x01\x02", "line 1 is no JSON"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(TrainingError) as caught:
        load_rows(path, Row)
    assert words in str(caught.value)
    assert "rows.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot be read \(no such file or directory\)"):
        load_rows(tmp_path / "nowhere.jsonl", Row)


def test_rows_that_teach_nothing_are_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "hi", "response": "hello"},
        {"prompt": "hi", "response": " \n"},
        {"prompt": "", "response": "hello"},
        {"prompt": "hi", "response": "hello", "meta": {"weight": 0}},
        {"prompt": "", "response": "x", "messages": [{"role": "user", "content": "hi"}]},
    ]
    loaded = load_rows(write_rows(tmp_path / "rows.jsonl", rows), Row)
    assert loaded.left_out == {"empty reply": 1, "empty prompt": 1, "no weight": 1}
    assert (len(loaded.rows), loaded.read) == (2, 5)
    pair = {"prompt": "hi", "chosen": "yes", "rejected": "yes"}
    pairs = load_rows(write_rows(tmp_path / "pairs.jsonl", [pair]), Pair)
    assert pairs.left_out == {"both replies are the same": 1}


def test_unknown_keys_and_a_byte_order_mark_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "ü", "response": "x", "label": True, "new": [1], "meta": {"id": 7, "z": {}}}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(row).encode() + b"\r\n\r\n")
    (loaded,) = load_rows(path, LabelledRow).rows
    assert (loaded.label, loaded.meta.id, loaded.given[0].content) == (True, 7, "ü")


texts = st.text(max_size=5)
metas = st.fixed_dictionaries({"weight": st.floats(0, 3)})
rows = st.fixed_dictionaries({"prompt": texts, "response": texts, "meta": metas})


@given(st.lists(rows, max_size=8))
def test_every_row_is_kept_or_counted(tmp_path_factory: Any, rows: list[Any]) -> None:
    path = write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)
    loaded = load_rows(path, Row)
    assert loaded.read == len(rows)
    assert all(row.response.strip() and row.meta.weight > 0 for row in loaded.rows)
