"""Anchor rows: hand-written examples of what must not be unlearned.

Owns reading them: those that come with Understudy (`anchors.jsonl` beside this module) and the
streamer's own in the data directory. Does not own their side (`splits`).

One JSON object a line: `{"id", "prompt", "response"}`, or `"messages"` (`{"role", "content"}`, the
last by the user) in place of `prompt`.
"""

import hashlib
from importlib import resources
from pathlib import Path

import msgspec

from understudy.learning.datasets.errors import DatasetError
from understudy.learning.redacted import Message, as_text
from understudy.safety.pii import Redactor

HELD_OUT_PERCENT = 40
OWN_FILE = "anchors.jsonl"
MAX_LINE_BYTES = 64 * 1024


class Anchor(msgspec.Struct, frozen=True):
    """One anchor row; `id` begins with `anchor:`."""

    id: str
    messages: list[Message]
    response: str

    @property
    def prompt(self) -> str:
        """What was said, as one text."""
        return as_text(self.messages)

    @property
    def prefers_held_out(self) -> bool:
        """Whether its id puts it with the held-out ones, as it does for 40 %."""
        digest = hashlib.sha256(self.id.encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:8]) % 100 < HELD_OUT_PERCENT


class _Line(msgspec.Struct):
    id: str = ""
    prompt: str = ""
    response: str = ""
    messages: list[Message] = []


def shipped_anchors() -> list[Anchor]:
    """The anchor rows that come with Understudy."""
    data = resources.files("understudy.learning.datasets").joinpath(OWN_FILE).read_bytes()
    return _parse(data, OWN_FILE)


def own_anchors(path: Path) -> list[Anchor]:
    """The streamer's anchor rows in `path`, none when there is no such file.

    Raises `DatasetError` for the first line that is none, or that holds personal data.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DatasetError(f"{path} cannot be read ({reason}): check its rights") from None
    return _parse(data, str(path))


def _parse(data: bytes, name: str) -> list[Anchor]:
    decoder = msgspec.json.Decoder(_Line)
    redactor = Redactor()
    found: dict[str, Anchor] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        anchor = _anchor(decoder, line, place)
        if anchor.id in found:
            raise DatasetError(f"{place} has the id of another line: give each an id of its own")
        said = "\n".join([*(m["content"] for m in anchor.messages), anchor.response])
        if redactor.redact(said).findings:
            raise DatasetError(
                f"{place} holds what looks like personal data: write it without numbers, "
                "addresses and keys"
            )
        found[anchor.id] = anchor
    return list(found.values())


def _anchor(decoder: msgspec.json.Decoder[_Line], line: bytes, place: str) -> Anchor:
    shape = 'write {"id": "…", "prompt": "…", "response": "…"}'
    if len(line) > MAX_LINE_BYTES:
        raise DatasetError(f"{place} is longer than {MAX_LINE_BYTES // 1024} KiB: shorten it")
    try:
        row = decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{place} is no anchor row ({error}): {shape}") from None
    messages = row.messages or [{"role": "user", "content": row.prompt}]
    if not row.id.strip() or not row.response.strip() or not _speaks(messages):
        raise DatasetError(f"{place} has no id, no prompt or no response: {shape}")
    return Anchor(f"anchor:{row.id.strip()}", messages, row.response.strip())


def _speaks(messages: list[Message]) -> bool:
    """Whether all messages say something, and the last is the user's."""
    return (
        all(m.get("role") in {"system", "user", "assistant"} for m in messages)
        and all(m.get("content", "").strip() for m in messages)
        and messages[-1]["role"] == "user"
    )
