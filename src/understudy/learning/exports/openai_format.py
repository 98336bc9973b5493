"""OpenAI's format for fine-tuning chat models, and the checks it must pass before an upload.

Owns both. Does not own the upload.

The checks are those of OpenAI's own notebook (openai-cookbook,
`examples/Chat_finetuning_data_prep.ipynb`) and of the supervised fine-tuning guide: at least ten
examples, files of at most 512 MB. An example that is longer than the model's limit is cut there
without a word; the limit of the models that can be fine-tuned today is 65,536 tokens (of older
ones less), and tokens are estimated here.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from understudy.engine.tokens import MESSAGE_OVERHEAD, estimate_tokens

LEAST_ROWS = 10
MOST_BYTES = 512 * 1024 * 1024
MOST_TOKENS = 65_536

_ROLES = frozenset({"system", "user", "assistant"})
_KEYS = frozenset({"role", "content", "name", "weight"})

Json = dict[str, Any]


class _Example(msgspec.Struct):
    messages: list[Json]


def openai_line(row: Json) -> Json:
    """A row of `experiences` as one example: what the model was given, then the reply.

    Empty messages are left out: OpenAI takes none.
    """
    given = [message for message in row["messages"] if message["content"].strip()]
    return {"messages": [*given, {"role": "assistant", "content": row["response"]}]}


def openai_problems(path: Path, most_tokens: int = MOST_TOKENS) -> list[str]:
    """What OpenAI would refuse or cut in the file: a sentence for each kind, empty when well.

    Raises `OSError` when the file cannot be read.
    """
    places: dict[str, int] = {}
    found: Counter[str] = Counter()
    rows = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            rows += 1
            for problem in _problems(line, most_tokens):
                found[problem] += 1
                places.setdefault(problem, number)
    sentences = [
        f"rows {problem}: {count}, the first in line {places[problem]}"
        for problem, count in found.items()
    ]
    if rows < LEAST_ROWS:
        sentences.append(f"there are {rows} rows: OpenAI takes no fewer than {LEAST_ROWS}")
    if path.stat().st_size > MOST_BYTES:
        sentences.append("the file is larger than 512 MB: export less with --since or --channel")
    return sentences


def _problems(line: bytes, most_tokens: int) -> list[str]:
    try:
        row = msgspec.json.decode(line, type=_Example)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ["that are no object with a list of messages"]
    messages = row.messages
    found = [problem for message in messages for problem in _message_problems(message)]
    roles = [message.get("role") for message in messages]
    if roles[-1:] != ["assistant"]:
        found.append("that do not end with a message of the assistant")
    if "user" not in roles:
        found.append("without a message of the user")
    if not found and _tokens(messages) > most_tokens:
        found.append(f"longer than {most_tokens} tokens, which would be cut")
    return list(dict.fromkeys(found))


def _message_problems(message: Json) -> list[str]:
    found: list[str] = []
    if not {"role", "content"} <= message.keys():
        found.append("with a message that has no role or no content")
    if message.get("role", "user") not in _ROLES:
        found.append("with a message of an unknown role")
    if not message.keys() <= _KEYS:
        found.append("with a message that has unknown keys")
    content = message.get("content", "…")
    if not isinstance(content, str) or not content.strip():
        found.append("with a message without text")
    return found


def _tokens(messages: list[Json]) -> int:
    return sum(MESSAGE_OVERHEAD + estimate_tokens(message["content"]) for message in messages)
