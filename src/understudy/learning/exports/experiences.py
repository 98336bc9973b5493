"""The archive as JSON lines, for training elsewhere and for keeping.

Owns the formats and which rows are in them. Does not own redaction (`redacted`), thumbs and
rankings (`preferences`), labels (`classification`) nor how a file is written whole
(`atomic_file`).

- `experiences`: `{"prompt", "response", "messages", "meta"}`; `messages` is what the model was
  given, the reply is in `response` only.
- `openai`: `{"messages": […]}` with the reply as the last message (`openai_format`).
- `tensorzero`: datapoints (`tensorzero_format`).
- `messages`: `{"id", "ts", "channel", "user", "text"}`, chat as it stands, redacted on request.

Only whole, non-empty replies that were not disliked are training data, and corrected ones in their
better form. A liked one weighs up to twice as much. Whether a conversation is for training or
validation is decided by a hash of its name, so no later export moves it to the other side. The
channel stays readable: it is the streamer's own. What a dataset leaves out beyond that
(`learning.datasets`) is in an export.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Literal

import msgspec

from understudy.learning.atomic_file import AtomicFile, ExportError
from understudy.learning.datasets.curate import unteachable
from understudy.learning.datasets.splits import conversation_of, split_of
from understudy.learning.exports.openai_format import openai_line, openai_problems
from understudy.learning.exports.row_writer import Json, Progress, RowWriter
from understudy.learning.exports.tensorzero_format import tensorzero_line
from understudy.learning.judgements import Judgement, weight_of
from understudy.learning.redacted import ExchangeRedactor
from understudy.safety.pii import Redactor
from understudy.storage.chat_log import ArchivedMessage, ChatArchive
from understudy.storage.experiences import RatedExperience

__all__ = [
    "ExportError",
    "ExportFormat",
    "ExportReport",
    "experience_line",
    "export_experiences",
    "split_of",
    "weight_of",
]

ExportFormat = Literal["experiences", "messages", "openai", "tensorzero"]


class ExportReport(msgspec.Struct, frozen=True):
    """What an export did: lines written, rows left out, replacements by kind, and warnings."""

    rows: int
    skipped: int
    redacted: dict[str, int]
    warnings: list[str] = []


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
    redactor = ExchangeRedactor(names, keep)
    begin = since or 0
    async with AtomicFile(Path(out)) as file:
        if format == "messages":
            writer = RowWriter(file, _MessageLines(redactor.redactor if redact else None).line)
            total = await archive.count(channel)
            await writer.write(archive.iter_messages(channel, begin), total, progress)
        else:
            writer = RowWriter(file, _ExperienceLines(redactor, format).line)
            total = await redactor.learn_names(archive.iter_experiences(channel, begin))
            await writer.write(archive.iter_experiences(channel, begin), total, progress)
        await file.commit()
    warnings = await asyncio.to_thread(openai_problems, Path(out)) if format == "openai" else []
    found = dict(sorted((writer.redacted + redactor.found).items()))
    return ExportReport(writer.rows, writer.skipped, found, warnings)


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


class _ExperienceLines:
    def __init__(self, redactor: ExchangeRedactor, format: ExportFormat) -> None:
        self._redactor = redactor
        self._shape = _SHAPES[format]

    def line(self, row: RatedExperience, found: "Counter[str]") -> Json | None:
        line = experience_line(row, self._redactor)
        return None if line is None else self._shape(line)


def experience_line(row: RatedExperience, redactor: ExchangeRedactor) -> Json | None:
    """The row of `experiences`, redacted; None when it is no example of a good reply."""
    judgement = Judgement(rating=row.rating, correction=row.correction.strip())
    if row.blocked or unteachable(row, judgement):
        return None
    exchange = redactor.exchange(row)
    return {
        "prompt": exchange.prompt,
        "response": redactor.text(judgement.correction or row.response, row.channel),
        "messages": exchange.messages,
        "meta": {
            "id": row.id,
            "ts": row.ts,
            "channel": exchange.channel,
            "persona": exchange.persona,
            "model": row.model,
            "weight": judgement.weight,
            "split": split_of(conversation_of(row)),
        },
    }


def _as_it_is(line: Json) -> Json:
    return line


_SHAPES: dict[str, Callable[[Json], Json]] = {
    "experiences": _as_it_is,
    "openai": openai_line,
    "tensorzero": tensorzero_line,
}
