"""Liked replies for a turn: how they are asked for, and how long is waited.

Owns the bound on the wait. Does not own which replies are liked (`learning`) nor how the model is
told of them (`context`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from understudy.engine.context import LikedReply
from understudy.storage.errors import StorageError

logger = logging.getLogger(__name__)

LOOKUP_SECONDS = 0.5
"""Longest wait for liked replies: somebody waits for the answer."""

LikedReplies = Callable[[str, str, str], Awaitable[Sequence[LikedReply]]]
"""Finds liked replies to messages like (text, persona, channel), the best one first."""


async def in_time(lookup: Awaitable[Sequence[LikedReply]]) -> Sequence[LikedReply]:
    """What `lookup` finds; nothing when it fails or takes too long."""
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await lookup
    except (TimeoutError, StorageError) as error:
        logger.warning("liked replies could not be looked up: %s", str(error) or "too slow")
        return ()
