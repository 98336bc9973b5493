"""Labelled chat lines: the file that people label and the model learns from.

Owns reading it: one JSON object a line, `{"prompt": "<chat message>", "completion": "<label>"}` as
it is exported for classification, or `{"text", "label"}`. Does not own who labels.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from understudy.events import MoodLabel
from understudy.mood.classifier import LABELS, parse_label
from understudy.mood.errors import MoodError

ENOUGH = 100
"""Lines of each label below which a warning is due."""
MAX_LINE_BYTES = 64 * 1024
MAX_NAME = 32
"""Characters of a label that is no mood which are kept to name it."""
MOST_NAMED = 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LabelledLine(msgspec.Struct, frozen=True):
    """A chat line and what it sounds like."""

    text: str
    label: MoodLabel


class LabelFile(msgspec.Struct):
    """What files hold: their lines, how many wait for a label, and labels that are no moods."""

    lines: list[LabelledLine] = []
    unlabelled: int = 0
    others: dict[str, int] = {}

    def take(self, text: str, completion: str) -> None:
        """Take in a message and its label, which may be empty."""
        label = parse_label(completion)
        if label is not None:
            self.lines.append(LabelledLine(text, label))
        elif completion.strip():
            name = completion.strip()[:MAX_NAME]
            self.others[name] = self.others.get(name, 0) + 1
        else:
            self.unlabelled += 1

    def left_out(self) -> str:
        """A sentence about the labels that are no moods; empty when there are none."""
        named = [f"{name} ({count})" for name, count in list(self.others.items())[:MOST_NAMED]]
        more = ["…"] if len(self.others) > MOST_NAMED else []
        return (
            f"left out, for their labels are no moods: {', '.join(named + more)}" if named else ""
        )


class _Record(msgspec.Struct):
    prompt: str | None = None
    completion: str | None = None
    text: str | None = None
    label: str | None = None


def read_labels(paths: Iterable[Path]) -> LabelFile:
    """The labelled lines of all files; raises `MoodError` for the first line that is none."""
    found = LabelFile()
    for path in paths:
        _read(path, found)
    return found


def counts(lines: Iterable[LabelledLine]) -> dict[MoodLabel, int]:
    """How many lines there are of each label, of all three."""
    found = Counter(line.label for line in lines)
    return {label: found[label] for label in LABELS}


def too_few(examples: Mapping[str, int] | Mapping[MoodLabel, int]) -> list[str]:
    """A sentence for each label with fewer than 100 examples; `examples` are counts by label."""
    return [
        f"only {count} lines are labelled {label}: {ENOUGH} of each make a model worth having"
        for label, count in examples.items()
        if count < ENOUGH
    ]


def _read(path: Path, found: LabelFile) -> None:
    decoder = msgspec.json.Decoder(_Record)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if line.strip():
                    _take(decoder, line, f"{path}, line {number}", found)
    except OSError as error:
        raise MoodError(f"{path} cannot be read: {(error.strerror or 'unknown').lower()}") from None


def _take(
    decoder: msgspec.json.Decoder[_Record], line: bytes, place: str, found: LabelFile
) -> None:
    shape = 'write {"prompt": "<message>", "completion": "<label>"}'
    if len(line) > MAX_LINE_BYTES:
        raise MoodError(f"{place} is longer than {MAX_LINE_BYTES // 1024} KiB: shorten it")
    try:
        record = decoder.decode(line.decode())
    except UnicodeDecodeError:
        raise MoodError(f"{place} is not UTF-8: save the file as UTF-8") from None
    except msgspec.DecodeError as error:
        raise MoodError(f"{place} is no labelled message ({error}): {shape}") from None
    text = record.prompt if record.prompt is not None else record.text
    completion = record.completion if record.completion is not None else record.label
    if text is None or completion is None:
        raise MoodError(f"{place} has no message or no label: {shape}")
    found.take(text, completion)
