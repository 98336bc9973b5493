"""Rows of the log as JSON lines of a file.

Owns encoding and counting, a batch at a time and outside the event loop. Does not own what a line
holds (`experiences`) nor the file (`atomic_file`).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec

from understudy.learning.atomic_file import AtomicFile
from understudy.learning.batches import batches

Progress = Callable[[int, int], None]
"""Called with the rows looked at so far and their number in all (at most)."""

Json = dict[str, Any]
Row = TypeVar("Row")

Line = Callable[[Any, "Counter[str]"], Json | list[Json] | None]
"""Makes a row into a line or several, and counts what it redacts; None leaves the row out."""


class RowWriter:
    """Writes rows as lines and counts: lines, rows left out, and what was redacted by kind."""

    def __init__(self, file: AtomicFile, line: Line) -> None:
        self.rows = 0
        self.skipped = 0
        self.redacted: Counter[str] = Counter()
        self._looked_at = 0
        self._file = file
        self._line = line
        self._encode = msgspec.json.Encoder().encode

    async def write(self, rows: AsyncIterator[Row], total: int, progress: Progress | None) -> None:
        """Write `rows`, of which there are `total` at most."""
        async for batch in batches(rows):
            await self._file.write(await asyncio.to_thread(self._lines, batch))
            self._looked_at += len(batch)
            if progress is not None:
                progress(self._looked_at, max(total, self._looked_at))

    def _lines(self, batch: list[Row]) -> bytes:
        data = bytearray()
        for row in batch:
            made = self._line(row, self.redacted)
            if not made:
                self.skipped += 1
                continue
            for line in made if isinstance(made, list) else [made]:
                data += self._encode(line) + b"\n"
                self.rows += 1
        return bytes(data)
