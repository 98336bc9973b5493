import json
from pathlib import Path

import pytest

from understudy.learning.datasets.anchors import own_anchors, shipped_anchors
from understudy.learning.datasets.errors import DatasetError
from understudy.safety.moderation import InputFilter


def test_the_shipped_rows_are_sound_and_on_both_sides() -> None:
    anchors = shipped_anchors()
    assert len(anchors) >= 40
    held_out = sum(anchor.prefers_held_out for anchor in anchors)
    assert 10 <= held_out <= len(anchors) - 20
    kinds = {anchor.id.rpartition("-")[0] for anchor in anchors}
    assert kinds == {f"anchor:{kind}" for kind in ("safety", "injection", "persona", "greeting")}
    assert all(InputFilter().check(anchor.response).allowed for anchor in anchors)
    assert len({anchor.response for anchor in anchors}) == len(anchors)


def test_own_rows_are_read_and_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    assert own_anchors(path) == []
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    path.write_text(
        '{"id": "a", "prompt": "hi", "response": " Hello! ", "more": 1}\n\n'
        + json.dumps({"id": "b", "messages": messages, "response": "Hey."})
    )
    first, second = own_anchors(path)
    assert (first.id, first.prompt, first.response) == ("anchor:a", "hi", "Hello!")
    assert (second.messages, second.prompt) == (messages, "hi")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "is no anchor row"),
        (b"\xff\xfe{\x00", "is no anchor row"),
        ("[]", "is no anchor row"),
        ('{"id": "a", "prompt": "hi"}', "no response"),
        ('{"id": "a", "response": "Hello."}', "no prompt"),
        ('{"prompt": "hi", "response": "Hello."}', "no id"),
        ('{"id": "a", "messages": [{"role": "assistant", "content": "x"}], "response": "y"}', "no"),
        ('{"id": "a", "messages": [{"role": "user"}], "response": "y"}', "no prompt"),
        ('{"id": "a", "prompt": "mail a@example.com", "response": "ok"}', "personal data"),
        (json.dumps({"id": "a", "prompt": "hi", "response": "x" * 70_000}), "longer than 64 KiB"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str | bytes, word: str) -> None:
    path = tmp_path / "anchors.jsonl"
    good = b'{"id": "good", "prompt": "hi", "response": "Hello."}\n'
    path.write_bytes(good + (line if isinstance(line, bytes) else line.encode()))
    with pytest.raises(DatasetError, match=r"anchors\.jsonl, line 2 ") as error:
        own_anchors(path)
    assert word in str(error.value)


def test_two_rows_of_one_id_and_a_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text('{"id": "a", "prompt": "hi", "response": "Hello."}\n' * 2)
    with pytest.raises(DatasetError, match="the id of another line"):
        own_anchors(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        own_anchors(tmp_path)
