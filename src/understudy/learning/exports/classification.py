"""Chat messages and their labels as JSON lines: what a classifier is trained on.

Owns the format: `{"prompt": "<chat message>", "completion": "<label or empty>"}`. Does not own who
labels (`storage.mongo_labels`).
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from os import PathLike
from pathlib import Path

from understudy.learning.atomic_file import AtomicFile
from understudy.learning.exports.experiences import ExportReport
from understudy.learning.exports.row_writer import Json, Progress, RowWriter
from understudy.mood.labels import too_few
from understudy.safety.pii import Redactor
from understudy.storage.chat_log import ArchivedMessage, ChatArchive
from understudy.storage.chat_tail import MessageKey
from understudy.storage.mongo_documents import document_id, time_of
from understudy.storage.mongo_labels import LabelledMessage


class ClassificationReport(ExportReport, frozen=True, kw_only=True):
    """The same, and how many lines have which label."""

    labels: dict[str, int]


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
        writer = RowWriter(file, lines.line)
        total = await archive.count(channel)
        await writer.write(archive.iter_messages(channel, begin), total, progress)
        await writer.write(lines.others(begin), total, progress)
        await file.commit()
    found = dict(sorted(writer.redacted.items()))
    labelled = dict(sorted(lines.labels.items()))
    return ClassificationReport(
        rows=writer.rows,
        skipped=writer.skipped,
        redacted=found,
        warnings=_warnings(writer.rows, labelled),
        labels=labelled,
    )


def _warnings(rows: int, labels: Mapping[str, int]) -> list[str]:
    """Every label that has too few examples, by name."""
    if rows and not labels:
        return [
            "no line is labelled yet: write a label into each completion, such as negative, "
            "neutral or positive"
        ]
    return too_few(labels)


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
