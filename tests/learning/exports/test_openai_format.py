import json
from pathlib import Path

import pytest

from understudy.learning.exports.openai_format import openai_line, openai_problems
from understudy.learning.exports.tensorzero_format import tensorzero_line

SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "hi"}
REPLY = {"role": "assistant", "content": "Hello!"}
GOOD = {"messages": [SYSTEM, USER, REPLY]}


def problems(tmp_path: Path, *rows: object, good: int = 10, most_tokens: int = 1_000) -> list[str]:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(GOOD)] * good
    lines += [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return openai_problems(path, most_tokens)


def test_a_sound_file_has_none(tmp_path: Path) -> None:
    weighted = {"messages": [USER, REPLY | {"weight": 0}, USER, REPLY | {"name": "undy"}]}
    assert problems(tmp_path, weighted) == []


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("{", "no object with a list"),
        ([], "no object with a list"),
        ({"prompt": "hi", "completion": "Hello!"}, "no object with a list"),
        ({"messages": "hi"}, "no object with a list"),
        ({"messages": ["hi"]}, "no object with a list"),
        ({"messages": [SYSTEM]}, "without a message of the user"),
        ({"messages": []}, "do not end with a message of the assistant"),
        ({"messages": [SYSTEM, REPLY]}, "without a message of the user"),
        ({"messages": [USER, REPLY, USER]}, "do not end with a message of the assistant"),
        ({"messages": [{"role": "user"}, REPLY]}, "no role or no content"),
        ({"messages": [{"content": "hi"}, USER, REPLY]}, "no role or no content"),
        ({"messages": [{"role": "viewer", "content": "hi"}, USER, REPLY]}, "an unknown role"),
        ({"messages": [USER | {"emotion": "x"}, REPLY]}, "unknown keys"),
        ({"messages": [USER, REPLY | {"content": " "}]}, "a message without text"),
        ({"messages": [USER, REPLY | {"content": None}]}, "a message without text"),
        ({"messages": [USER, REPLY | {"content": "word " * 2_000}]}, "longer than 1000 tokens"),
    ],
)
def test_each_problem_is_named_with_its_first_line(tmp_path: Path, row: object, word: str) -> None:
    found = problems(tmp_path, row, row)
    assert any(word in problem and ": 2, the first in line 11" in problem for problem in found)


def test_too_few_rows(tmp_path: Path) -> None:
    assert problems(tmp_path, good=9) == ["there are 9 rows: OpenAI takes no fewer than 10"]
    assert problems(tmp_path, good=0) == ["there are 0 rows: OpenAI takes no fewer than 10"]


def row(*messages: dict[str, str]) -> dict:
    meta = {"id": "run_1", "ts": 5, "weight": 1.5}
    return {"prompt": "hi", "response": "Hello!", "messages": list(messages), "meta": meta}


def test_empty_messages_are_left_out() -> None:
    assert openai_line(row({"role": "system", "content": " "}, USER)) == {"messages": [USER, REPLY]}


def test_a_datapoint_of_tensorzero() -> None:
    assert tensorzero_line(row(SYSTEM, USER)) == {
        "type": "chat",
        "function_name": "understudy",
        "input": {
            "system": "Be kind.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        },
        "output": [{"type": "text", "text": "Hello!"}],
        "tags": {"id": "run_1", "ts": "5", "weight": "1.5"},
    }
    assert "system" not in tensorzero_line(row(USER))["input"]
