"""The chat archive in MongoDB: a copy of the log that is never on the way of the chat.

Owns following the log and what is done while MongoDB is away. Does not own the documents
(`storage.mongo_documents`) or the log (`storage.chat_tail`).

The copy starts where MongoDB itself says that it stands, so that an outage of any length is caught
up, and a restart or another machine goes on where the last one stopped. A crash between a write
and the note of it repeats that write, which changes nothing.
"""

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING

import msgspec

from understudy.storage.chat_tail import ChatTail, MessageKey, TailPlace
from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.mongo_client import (
    CLASSIFICATION,
    MESSAGES,
    PROGRESS,
    Document,
    explain,
    open_client,
    open_database,
    place_of,
)
from understudy.storage.mongo_documents import (
    mark_deleted,
    store_messages,
    store_prompts,
    withdraw_prompts,
)

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from pymongo.asynchronous.database import AsyncDatabase

BATCH = 1_000
"""Messages of one write."""
ACTS = 100
"""Moderators' acts that are read at a time."""

_POLL_S = 1.0
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
_logger = logging.getLogger(__name__)


class MongoArchive:
    """Copies the chat of `database` to the MongoDB at `url` from `start` to `close`.

    Times are in seconds: `poll` between looks at the log, `first_retry` doubling up to
    `last_retry` between attempts while MongoDB is away.
    """

    def __init__(
        self,
        url: str,
        database: Database,
        *,
        poll: float = _POLL_S,
        first_retry: float = _FIRST_RETRY_S,
        last_retry: float = _LAST_RETRY_S,
    ) -> None:
        self._url = url
        self._tail = ChatTail(database)
        self._origin = hashlib.sha256(database.url.encode()).hexdigest()[:16]
        self._poll = poll
        self._first_retry = first_retry
        self._last_retry = last_retry
        self._client: AsyncMongoClient[Document] | None = None
        self._place: TailPlace | None = None
        self._trouble = ""
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def problems(self) -> list[str]:
        """Why chat is not being copied right now, in one sentence; empty when all is well."""
        return [self._trouble] if self._trouble else []

    def start(self) -> None:
        """Begin to copy in the background."""
        self._task = asyncio.create_task(self._run(), name="mongo-archive")

    async def close(self, within: float = 2.0) -> None:
        """Copy what is left, taking at most `within` seconds; the rest follows at the next start.

        Close it after the log writer, so that the last messages are there.
        """
        self._closing.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=within)
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._client is not None:
            await self._client.close()

    async def _run(self) -> None:
        delay = self._first_retry
        while True:
            closing = self._closing.is_set()
            try:
                await self._catch_up()
            except Exception as error:  # whatever it is must not end the copy for good
                self._report(error)
                pause, delay = delay, min(2 * delay, self._last_retry)
            else:
                self._recover()
                pause, delay = self._poll, self._first_retry
            if closing:
                return
            await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    async def _catch_up(self) -> None:
        """Copy all that is in the log by now."""
        if self._client is None:
            self._client = open_client(self._url)
        mongo = open_database(self._client)
        if self._place is None:
            self._place = await self._load_place(mongo)
        end = await self._tail.end()
        while self._place.message < end.message:
            await self._copy_messages(mongo, self._place, end)
        while self._place.moderation < end.moderation:
            await self._copy_removals(mongo, self._place, end)

    async def _copy_messages(
        self, mongo: "AsyncDatabase[Document]", place: TailPlace, end: TailPlace
    ) -> None:
        page = await self._tail.messages(place.message, end.message, BATCH)
        if not page:
            self._place = msgspec.structs.replace(place, message=end.message)
            return
        await mongo[MESSAGES].bulk_write(store_messages(page), ordered=False)
        if prompts := store_prompts(page):
            await mongo[CLASSIFICATION].bulk_write(prompts, ordered=False)
        last = page[-1]
        noted = {"message": last.row, "key": list(msgspec.structs.astuple(last.key))}
        # Both places: what is noted of the acts may be of a log that is gone.
        await self._note(mongo, {**noted, "moderation": place.moderation})
        self._place = msgspec.structs.replace(place, message=last.row)

    async def _copy_removals(
        self, mongo: "AsyncDatabase[Document]", place: TailPlace, end: TailPlace
    ) -> None:
        acts = await self._tail.removals(place.moderation, end.moderation, ACTS)
        for act in acts:
            async for keys in self._tail.removed_by(act):
                await mongo[CLASSIFICATION].bulk_write(withdraw_prompts(keys), ordered=False)
                await mongo[MESSAGES].bulk_write(mark_deleted(keys), ordered=False)
        reached = acts[-1].row if acts else end.moderation
        await self._note(mongo, {"moderation": reached})
        self._place = msgspec.structs.replace(place, moderation=reached)

    async def _load_place(self, mongo: "AsyncDatabase[Document]") -> TailPlace:
        """Where the copy stands; the start when the log is not the one it was made of."""
        noted = await mongo[PROGRESS].find_one({"_id": self._origin}) or {}
        if "key" not in noted:
            return TailPlace()
        if await self._tail.key_at(noted["message"]) != MessageKey(*noted["key"]):
            _logger.info("the log is another than the one copied to MongoDB: it is copied anew")
            return TailPlace()
        return TailPlace(noted["message"], noted.get("moderation", 0))

    async def _note(self, mongo: "AsyncDatabase[Document]", reached: Document) -> None:
        """Keep in MongoDB how far the copy has come."""
        await mongo[PROGRESS].update_one({"_id": self._origin}, {"$set": reached}, upsert=True)

    def _report(self, error: Exception) -> None:
        # What MongoDB holds by now is asked again: it may come back as another one.
        self._place = None
        known = error if isinstance(error, StorageError) else explain(error, self._url)
        if known is None:
            _logger.error("the copy to MongoDB broke down, it is tried again", exc_info=error)
            known = "the copy to MongoDB broke down and is tried again: see the server's log"
        elif str(known) != self._trouble:
            _logger.warning("%s", known)
        self._trouble = str(known)

    def _recover(self) -> None:
        if self._trouble:
            _logger.info("MongoDB at %s has all of the chat again", place_of(self._url))
            self._trouble = ""
