"""Rows a batch at a time, so that work on them can leave the event loop."""

from collections.abc import AsyncIterator
from typing import TypeVar

BATCH = 200

Row = TypeVar("Row")


async def batches(rows: AsyncIterator[Row], size: int = BATCH) -> AsyncIterator[list[Row]]:
    """The rows of `rows` in lists of `size`; the last may be shorter."""
    batch: list[Row] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
