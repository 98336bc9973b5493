"""What people preferred, as JSON lines: thumbs for KTO, better and worse replies for DPO.

Owns both formats. Does not own the rules by which feedback counts (`judgements`).

- `kto`: `{"prompt", "response", "messages", "label": true|false, "meta"}`, one line for each whole
  reply that was liked or disliked on the whole.
- `pairs`: `{"prompt", "messages", "chosen", "rejected", "meta"}`: a correction against the reply
  it corrects, and the best reply of a ranking against each of the others.

Always redacted.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from understudy.learning.atomic_file import AtomicFile
from understudy.learning.batches import batches
from understudy.learning.datasets.splits import conversation_of, split_of
from understudy.learning.datasets.writer import one_sided
from understudy.learning.exports.experiences import ExportReport
from understudy.learning.exports.row_writer import Json, Progress, RowWriter
from understudy.learning.judgements import Judgement, judgement_of
from understudy.learning.redacted import ExchangeRedactor
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences, RatedExperience
from understudy.storage.feedback import FeedbackRows
from understudy.storage.viewers import Viewers

PreferenceFormat = Literal["kto", "pairs"]


class _Judged(msgspec.Struct, frozen=True):
    row: RatedExperience
    judgement: Judgement


async def export_preferences(
    database: Database,
    out: Path,
    *,
    format: PreferenceFormat,
    channel: str | None = None,
    since: int = 0,
    keep: Iterable[str] = (),
    progress: Progress | None = None,
) -> ExportReport:
    """Write the preferences from `since` (ms) on to the file `out`, whole or not at all.

    Names in `keep`, such as the co-host's, stay. Raises `ExportError` and `StorageError`.
    """
    experiences = Experiences(database)
    redactor = ExchangeRedactor(await Viewers(database).roster(channel), keep)
    total = await redactor.learn_names(experiences.iterate(channel, since))
    lines = _Lines(redactor)
    async with AtomicFile(out) as file:
        writer = RowWriter(file, lines.thumbs if format == "kto" else lines.pairs)
        await writer.write(_judged(database, channel, since), total, progress)
        await file.commit()
    found = dict(sorted(redactor.found.items()))
    return ExportReport(writer.rows, writer.skipped, found, _warnings(format, lines.labels))


async def _judged(database: Database, channel: str | None, since: int) -> AsyncIterator[_Judged]:
    feedback = FeedbackRows(database)
    async for batch in batches(Experiences(database).iterate(channel, since)):
        found = await feedback.of([row.id for row in batch])
        for row in batch:
            yield _Judged(row, judgement_of(found.get(row.id, ())))


class _Lines:
    def __init__(self, redactor: ExchangeRedactor) -> None:
        self.labels: Counter[bool] = Counter()
        self._redactor = redactor

    def thumbs(self, judged: _Judged, found: "Counter[str]") -> Json | None:
        row, label = judged.row, judged.judgement.label
        whole = row.status == "complete" and row.response.strip()
        if judged.judgement.blocked or label is None or not whole:
            return None
        self.labels[label] += 1
        exchange = self._redactor.exchange(row)
        return {
            "prompt": exchange.prompt,
            "response": self._redactor.text(row.response, row.channel),
            "messages": exchange.messages,
            "label": label,
            "meta": _meta(row),
        }

    def pairs(self, judged: _Judged, found: "Counter[str]") -> list[Json] | None:
        row = judged.row
        pairs = judged.judgement.pairs(row.response)
        if judged.judgement.blocked or not pairs:
            return None
        exchange = self._redactor.exchange(row)
        return [
            {
                "prompt": exchange.prompt,
                "messages": exchange.messages,
                "chosen": self._redactor.text(chosen, row.channel),
                "rejected": self._redactor.text(rejected, row.channel),
                "meta": _meta(row),
            }
            for chosen, rejected in pairs
        ]


def _meta(row: RatedExperience) -> Json:
    return {"id": row.id, "ts": row.ts, "split": split_of(conversation_of(row))}


def _warnings(format: PreferenceFormat, labels: "Counter[bool]") -> list[str]:
    if format == "kto" and len(labels) == 1:
        return [one_sided(True in labels)]
    return []
