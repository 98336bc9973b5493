"""Writes what flows over the bus to the log: nothing seen is forgotten.

Owns the choice of rows for events. Does not own durability (`storage.log_writer`).
"""

import asyncio
import logging

from understudy.bus import Bus
from understudy.events import ChatMessage, Decision, Event, Moderation, StreamEvent
from understudy.storage.errors import LogUnavailable
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow, DecisionRow, LogRow, ModerationRow, StreamEventRow

logger = logging.getLogger(__name__)

QUEUE_EVENTS = 4_096
LINGER_SECONDS = 0.1
"""How long events wait for others in a calm chat: a commit costs the same for one as for many."""
RETRY_SECONDS = 0.5
CLOSE_SECONDS = 5.0
"""How long a close waits for a disk that neither takes rows nor refuses them."""


class Archive:
    """A lossless reader of the bus that hands every event to the log writer.

    While the disk refuses rows the archive waits, its queue fills and publishers are held back:
    chat slows down rather than disappear.
    """

    def __init__(self, bus: Bus, log: LogWriter) -> None:
        self._bus = bus
        self._log = log
        self._subscription = bus.subscribe(
            "archive",
            ChatMessage,
            StreamEvent,
            Moderation,
            Decision,
            capacity=QUEUE_EVENTS,
            lossless=True,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin reading."""
        self._task = asyncio.create_task(self._run(), name="archive")

    async def close(self) -> None:
        """Hand over what is queued, then stop."""
        self._bus.unsubscribe(self._subscription)
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
            logger.error("the last events are lost: the disk did not take them in time")

    async def _run(self) -> None:
        while events := await self._subscription.batch(linger=LINGER_SECONDS):
            for event in events:
                await self._store(event)

    async def _store(self, event: Event) -> None:
        row = row_of(event)
        while True:
            try:
                await self._log.put(row)
                return
            except LogUnavailable as error:
                if self._subscription.closed:
                    kind = type(event).__name__
                    logger.error("%s %s is lost at shutdown: %s", kind, event.id, error)
                    return
                await asyncio.sleep(RETRY_SECONDS)


def row_of(event: Event) -> LogRow:
    """The row that keeps `event`; raises `TypeError` for events that are not archived."""
    if isinstance(event, ChatMessage):
        return ChatRow(event)
    if isinstance(event, StreamEvent):
        return StreamEventRow(event)
    if isinstance(event, Moderation):
        return ModerationRow(event)
    if isinstance(event, Decision):
        return DecisionRow(event, event.message_ts)
    raise TypeError(f"the archive does not keep {type(event).__name__}")
