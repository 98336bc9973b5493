"""Waiting for what no event tells of."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within: float = 10) -> None:
    """Wait until `condition` holds, `within` seconds at most."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - there is no event for it, and needs to be none
            await asyncio.sleep(0.005)
