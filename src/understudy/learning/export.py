"""The archive as JSON lines, for training elsewhere and for keeping.

Owns the formats and what is fit to be learned from. Does not own redaction (`safety.pii`) nor how
a file is written whole (`atomic_file`).

- `experiences`: `{"prompt", "response", "messages", "meta"}`; `messages` is what the model was
  given, the reply is in `response` only.
- `openai`: `{"messages": […]}` with the reply as the last message.
- `messages`: `{"id", "ts", "channel", "user", "text"}`, chat as it stands, redacted on request.
- `classification`: `{"prompt": "<chat message>", "completion": "<label or empty>"}`.

Only whole, non-empty replies that were not disliked are training data. A liked one weighs up to
twice as much. Whether a session is for training or validation is decided by a hash of its id, so
no later export moves it to the other side. The channel stays readable: it is the streamer's own.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from understudy.learning.atomic_file import AtomicFile, ExportError
from understudy.safety.pii import Redactor
from understudy.safety.untrusted import SYSTEM_RULE, quoted_names, unwrap
from understudy.storage.chat_log import ArchivedMessage, ChatArchive
from understudy.storage.chat_tail import MessageKey
from understudy.storage.experiences import RatedExperience
from understudy.storage.mongo_documents import document_id, time_of
from understudy.storage.mongo_labels import LabelledMessage

__all__ = [
    "ClassificationReport",
    "ExportError",
    "ExportFormat",
    "ExportReport",
    "export_classification",
    "export_experiences",
    "split_of",
]

ExportFormat = Literal["experiences", "messages", "openai"]
Progress = Callable[[int, int], None]
"""Called with the rows looked at so far and their number in all (at most)."""

BATCH = 200
"""Rows that are redacted and written at a time, outside the event loop."""

VALIDATION_PERCENT = 10
MAX_WEIGHT = 2.0

_RULE = re.compile(rf"\s*{re.escape(SYSTEM_RULE)}\s*")

Json = dict[str, Any]
Row = TypeVar("Row")


class ExportReport(msgspec.Struct, frozen=True):
    """What an export did: lines written, rows left out, and replacements by kind."""

    rows: int
    skipped: int
    redacted: dict[str, int]


class ClassificationReport(ExportReport, frozen=True):
    """The same, and how many lines have which label."""

    labels: dict[str, int]


async def export_experiences(
    archive: ChatArchive,
    out: str | PathLike[str],
    *,
    channel: str | None = None,
    since: int | None = None,
    format: ExportFormat = "experiences",
    redact: bool = False,
    roster: Iterable[tuple[str, str]] | None = None,
    keep: Iterable[str] = (),
    progress: Progress | None = None,
) -> ExportReport:
    """Write the archive from `since` (ms) on to the file `out`, whole or not at all.

    The training formats are always redacted, `messages` with `redact`. `roster` holds (login,
    display name) of the chatters to hide, by default all the archive knows in `channel`; names in
    `keep`, such as the co-host's, stay. Raises `ExportError` and `StorageError`.
    """
    names = await archive.roster(channel) if roster is None else roster
    # Sets come in another order in every process; names shared by two chatters must not.
    redactor = Redactor(sorted(names), keep=keep)
    begin = since or 0
    async with AtomicFile(Path(out)) as file:
        if format == "messages":
            writer = _Writer(file, _MessageLines(redactor if redact else None).line)
            total = await archive.count(channel)
            await writer.write(archive.iter_messages(channel, begin), total, progress)
        else:
            lines = _ExperienceLines(redactor, format)
            writer = _Writer(file, lines.line)
            total = await lines.learn_names(archive.iter_experiences(channel, begin))
            await writer.write(archive.iter_experiences(channel, begin), total, progress)
        await file.commit()
    found = dict(sorted(writer.redacted.items()))
    return ExportReport(writer.rows, writer.skipped, found)


async def export_classification(
    archive: ChatArchive,
    out: str | PathLike[str],
    labels: Mapping[str, LabelledMessage],
    *,
    channel: str | None = None,
    since: int | None = None,
    keep: Iterable[str] = (),
    progress: Progress | None = None,
) -> ClassificationReport:
    """Write every message from `since` (ms) on, redacted, with its label or an empty one.

    `labels` are by the id of their document (`storage.mongo_documents`); those whose message is not
    in the archive come last. Messages that moderators removed are left out where nobody labelled
    them. Raises `ExportError` and `StorageError`.
    """
    begin = since or 0
    redactor = Redactor(sorted(await archive.roster(channel)), keep=keep)
    lines = _ClassificationLines(redactor, labels)
    async with AtomicFile(Path(out)) as file:
        writer = _Writer(file, lines.line)
        total = await archive.count(channel)
        await writer.write(archive.iter_messages(channel, begin), total, progress)
        await writer.write(lines.others(begin), total, progress)
        await file.commit()
    found = dict(sorted(writer.redacted.items()))
    labelled = dict(sorted(lines.labels.items()))
    return ClassificationReport(writer.rows, writer.skipped, found, labelled)


def split_of(session: str) -> Literal["train", "val"]:
    """The side of a session for ever: one in ten is kept for validation."""
    digest = hashlib.sha256(session.encode("utf-8", "replace")).digest()
    percent = int.from_bytes(digest[:8]) % 100
    return "val" if percent < VALIDATION_PERCENT else "train"


def weight_of(rating: float) -> float:
    """1.0 for an unrated reply, half a point more for each like up to 2.0, 0.0 when disliked."""
    if rating < 0:
        return 0.0
    return min(1.0 + rating / 2, MAX_WEIGHT)


Line = Callable[[Any, "Counter[str]"], Json | None]
"""Makes a row into a line and counts what it redacts; None leaves the row out."""


class _Writer:
    """Writes rows as lines, a batch at a time, and counts."""

    def __init__(self, file: AtomicFile, line: Line) -> None:
        self.rows = 0
        self.skipped = 0
        self.redacted: Counter[str] = Counter()
        self._file = file
        self._line = line
        self._encode = msgspec.json.Encoder().encode

    async def write(self, rows: AsyncIterator[Row], total: int, progress: Progress | None) -> None:
        async for batch in _batches(rows):
            data = await asyncio.to_thread(self._lines, batch)
            await self._file.write(data)
            if progress is not None:
                progress(self.rows + self.skipped, max(total, self.rows + self.skipped))

    def _lines(self, batch: list[Row]) -> bytes:
        data = bytearray()
        for row in batch:
            line = self._line(row, self.redacted)
            if line is None:
                self.skipped += 1
                continue
            data += self._encode(line) + b"\n"
            self.rows += 1
        return bytes(data)


class _MessageLines:
    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor

    def line(self, archived: ArchivedMessage, found: "Counter[str]") -> Json:
        message = archived.message
        user, text = message.user, message.text
        if self._redactor is not None:
            user = self._redactor.roster.pseudonym(user, message.channel)
            redacted = self._redactor.redact(text, streamer=message.channel)
            found.update(finding.kind for finding in redacted.findings)
            text = redacted.text
        return {
            "id": message.id,
            "ts": message.ts,
            "channel": message.channel,
            "user": user,
            "text": text,
        }


class _ClassificationLines:
    def __init__(self, redactor: Redactor, labels: Mapping[str, LabelledMessage]) -> None:
        self.labels: Counter[str] = Counter()
        self._redactor = redactor
        self._left = dict(labels)

    async def others(self, since: int) -> AsyncIterator[LabelledMessage]:
        """Labelled messages from `since` on that were no lines yet."""
        for document, labelled in self._left.items():
            if not since or (time_of(document) or 0) >= since:
                yield labelled

    def line(self, row: ArchivedMessage | LabelledMessage, found: "Counter[str]") -> Json | None:
        if isinstance(row, LabelledMessage):
            return self._line(row.prompt, row.completion, "", found)
        message = row.message
        key = MessageKey(message.channel, message.ts, message.id)
        labelled = self._left.pop(document_id(key), None)
        if labelled is None and row.deleted:
            return None
        label = labelled.completion if labelled else ""
        return self._line(message.text, label, message.channel, found)

    def _line(self, text: str, label: str, streamer: str, found: "Counter[str]") -> Json | None:
        redacted = self._redactor.redact(text, streamer=streamer)
        if not redacted.text.strip():
            return None
        found.update(finding.kind for finding in redacted.findings)
        if label := label.strip():
            self.labels[label] += 1
        return {"prompt": redacted.text, "completion": label}


class _ExperienceLines:
    def __init__(self, redactor: Redactor, format: ExportFormat) -> None:
        self._redactor = redactor
        self._identifiers = Redactor()
        self._format = format

    async def learn_names(self, rows: AsyncIterator[RatedExperience]) -> int:
        """Know everybody who speaks in `rows` before any is redacted; returns their number."""
        roster = self._redactor.roster
        count = 0
        async for row in rows:
            count += 1
            spoken = (m["content"] for m in row.prompt_messages if m["role"] != "system")
            for name in (
                row.user,
                row.channel,
                *(n for text in spoken for n in quoted_names(text)),
            ):
                roster.meet(name)
        return count

    def line(self, row: RatedExperience, found: "Counter[str]") -> Json | None:
        weight = weight_of(row.rating)
        if row.status != "complete" or not row.response.strip() or weight <= 0:
            return None
        messages = [
            {"role": m["role"], "content": self._content(m, row.channel, found)}
            for m in row.prompt_messages
        ]
        response = self._redact(row.response, row.channel, found)
        if self._format == "openai":
            return {"messages": [*messages, {"role": "assistant", "content": response}]}
        return {
            "prompt": _prompt(messages),
            "response": response,
            "messages": messages,
            "meta": {
                "id": row.id,
                "ts": row.ts,
                "channel": self._identifiers.redact(row.channel).text,
                "persona": self._identifiers.redact(row.persona).text,
                "model": row.model,
                "weight": weight,
                "split": split_of(row.session),
            },
        }

    def _content(self, message: dict[str, str], channel: str, found: "Counter[str]") -> str:
        content = message["content"]
        if message["role"] == "system":
            # Without envelopes the rule about them only confuses.
            content = _RULE.sub("\n\n", content).strip()
        else:
            content = unwrap(content, lambda name: self._redactor.roster.pseudonym(name, channel))
        return self._redact(content, channel, found)

    def _redact(self, text: str, channel: str, found: "Counter[str]") -> str:
        redacted = self._redactor.redact(text, streamer=channel)
        found.update(finding.kind for finding in redacted.findings)
        return redacted.text


def _prompt(messages: list[dict[str, str]]) -> str:
    """The conversation as text: one message alone as it is, several with who said them."""
    spoken = [message for message in messages if message["role"] != "system"]
    if len(spoken) == 1:
        return spoken[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in spoken)


async def _batches(rows: AsyncIterator[Row]) -> AsyncIterator[list[Row]]:
    batch: list[Row] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
