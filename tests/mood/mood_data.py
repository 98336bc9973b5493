"""The labelled chat lines of the tests and the benchmark."""

from pathlib import Path

import msgspec

from understudy.events import ChatMessage
from understudy.mood.labels import LabelledLine

LINES = Path(__file__).parent.parent / "data" / "mood_lines.jsonl"
START = 1_763_150_400_000


class Row(msgspec.Struct, frozen=True):
    text: str
    label: str
    split: str


def rows() -> list[Row]:
    return [msgspec.json.decode(line, type=Row) for line in LINES.read_bytes().splitlines()]


def labelled(split: str) -> list[LabelledLine]:
    return [
        msgspec.convert({"text": row.text, "label": row.label}, LabelledLine)
        for row in rows()
        if row.split == split
    ]


def chat(number: int, text: str = "nice", *, user: str = "", ts: int = 0, **fields) -> ChatMessage:
    """A message; `ts` is in ms from the start."""
    return ChatMessage(
        id=f"m{number}",
        channel="ada",
        ts=START + ts,
        user=user or f"v{number}",
        text=text,
        **fields,
    )
