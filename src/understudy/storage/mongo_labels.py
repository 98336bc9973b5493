"""The labels in MongoDB's `MessageClassification`: what a mood model is trained on.

Owns reading and setting them. Does not own how messages get there (`storage.mongo`). People may as
well label with any MongoDB tool, by writing into `completion`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from understudy.storage.chat_tail import MessageKey
from understudy.storage.mongo_client import (
    CLASSIFICATION,
    Document,
    explain,
    open_client,
    open_database,
)
from understudy.storage.mongo_documents import ids_of, store_label

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from pymongo.asynchronous.collection import AsyncCollection


class LabelledMessage(msgspec.Struct, frozen=True):
    """A chat message and its label, by the names that fine-tuning uses."""

    prompt: str
    completion: str


class MongoLabels:
    """Reads and sets labels; all methods raise `MongoError`. Close it when done."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncMongoClient[Document] = open_client(url)

    async def labelled(self, channel: str | None = None) -> AsyncGenerator[LabelledMessage]:
        """The labelled messages of `channel`, or of all, in order of channel and time."""
        condition = _labelled(channel)
        async with self._explained():
            async for document in self._collection().find(condition, _FIELDS).sort("_id", 1):
                yield _message(document)

    async def by_document(self, channel: str | None = None) -> dict[str, LabelledMessage]:
        """The labelled messages of `channel`, or of all, by the ids of their documents."""
        condition = _labelled(channel)
        async with self._explained():
            return {
                str(document["_id"]): _message(document)
                async for document in self._collection().find(condition, _FIELDS).sort("_id", 1)
            }

    async def set(self, key: MessageKey, text: str, label: str) -> None:
        """Label the message `key` names, whose text is `text`; an empty label takes it back."""
        async with self._explained():
            await self._collection().bulk_write([store_label(key, text, label)])

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _collection(self) -> "AsyncCollection[Document]":
        return open_database(self._client)[CLASSIFICATION]

    @asynccontextmanager
    async def _explained(self) -> AsyncGenerator[None]:
        try:
            yield
        except Exception as error:
            known = explain(error, self._url)
            if known is None:
                raise
            raise known from None


_FIELDS = {"prompt": 1, "completion": 1}


def _labelled(channel: str | None) -> Document:
    """A condition that holds for the labelled messages of `channel`, or of all."""
    condition: Document = {"completion": {"$nin": ["", None]}}
    if channel is not None:
        condition["_id"] = ids_of(channel)
    return condition


def _message(document: Document) -> LabelledMessage:
    # People write here with tools of their own: a field may be missing.
    return LabelledMessage(str(document.get("prompt", "")), str(document["completion"]))
