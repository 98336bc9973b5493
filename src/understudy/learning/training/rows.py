"""The rows of a training file.

Owns what a line must hold, what is told about one that does not, and which rows cannot be learned
from. Does not own how a row becomes tokens (`encoding`).

A file that is broken (other encodings, lines that are no JSON, missing keys) is refused as a whole:
whoever made it should know. A row that is whole but teaches nothing is left out and counted.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from understudy.learning.training.errors import TrainingError, reason_of

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Message(msgspec.Struct, frozen=True):
    """One message of what the model was given."""

    role: str
    content: str


class RowMeta(msgspec.Struct, frozen=True):
    """What is known of a row; every key may be missing."""

    id: str | int = ""
    session: str = ""
    group: str | int = ""
    split: str = ""
    weight: float = 1.0
    old: bool = False
    anchor: bool = False


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the model was given: `messages`, or one message of a viewer in `prompt`."""

    prompt: str
    messages: list[Message] = []
    meta: RowMeta = RowMeta()

    @property
    def given(self) -> list[Message]:
        """The conversation before the reply."""
        return self.messages or [Message("user", self.prompt)]

    @property
    def replies(self) -> tuple[str, ...]:
        """Everything the model could have answered in this row."""
        raise NotImplementedError


class Row(_Asked, frozen=True, kw_only=True):
    """A reply to be learned."""

    response: str

    @property
    def replies(self) -> tuple[str, ...]:
        """The one reply."""
        return (self.response,)


class LabelledRow(Row, frozen=True, kw_only=True):
    """A reply that was liked or not."""

    label: bool


class Pair(_Asked, frozen=True, kw_only=True):
    """Two replies of which one is better."""

    chosen: str
    rejected: str

    @property
    def replies(self) -> tuple[str, ...]:
        """The better one, the other one."""
        return (self.chosen, self.rejected)


AnyRow = TypeVar("AnyRow", Row, LabelledRow, Pair)


class LoadedRows(msgspec.Struct, Generic[AnyRow]):
    """The rows of a file that can be learned from, and why others cannot."""

    rows: list[AnyRow]
    left_out: Counter[str]

    @property
    def read(self) -> int:
        """Lines in the file that are not blank."""
        return len(self.rows) + sum(self.left_out.values())


def load_rows(path: Path, kind: type[AnyRow]) -> LoadedRows[AnyRow]:
    """Read the JSON lines of `path`; raises `TrainingError` that names the first bad line."""
    loaded: LoadedRows[AnyRow] = LoadedRows([], Counter())
    for row in _lines(path, kind):
        if reason := useless(row):
            loaded.left_out[reason] += 1
        else:
            loaded.rows.append(row)
    return loaded


def useless(row: Row | Pair) -> str:
    """Why nothing can be learned from `row`; empty when something can."""
    if not all(reply.strip() for reply in row.replies):
        return "empty reply"
    if not any(message.content.strip() for message in row.given):
        return "empty prompt"
    if len(set(row.replies)) < len(row.replies):
        return "both replies are the same"
    return "" if row.meta.weight > 0 else "no weight"


def _lines(path: Path, kind: type[AnyRow]) -> Iterator[AnyRow]:
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = _without_mark(path, line)
                if line.strip():
                    yield _decode(decoder, line, f"{path.name}, line {number}")
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read ({reason_of(error)}): check the file"
        ) from error


def _without_mark(path: Path, line: bytes) -> bytes:
    if line.startswith(_UTF16):
        raise TrainingError(f"{path.name} is written in UTF-16: save it as UTF-8")
    return line.removeprefix(codecs.BOM_UTF8)


def _decode(decoder: "msgspec.json.Decoder[AnyRow]", line: bytes, place: str) -> AnyRow:
    try:
        row = decoder.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise TrainingError(f"{place} is not UTF-8: save the file as UTF-8") from None
    except msgspec.ValidationError as error:
        said = str(error)
        raise TrainingError(
            f"{place}: {said[:1].lower()}{said[1:]}: correct or remove the line"
        ) from None
    except msgspec.DecodeError:
        raise TrainingError(
            f"{place} is no JSON: every line must be one object such as "
            '{"prompt": "…", "response": "…"}'
        ) from None
    if not 0 <= row.meta.weight < float("inf"):
        raise TrainingError(f"{place} has the weight {row.meta.weight}: give 0 or more")
    return row
