"""What is stored in MongoDB: the documents of chat messages and of what they are labelled.

Owns their ids, fields and the writes that make them. Does not own when they are written
(`storage.mongo`, `storage.mongo_labels`).

Every document's `_id` is made of the message's own key, so a message that is written again is the
same document: `<channel>/<time in ms>/<platform's id>`.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from understudy.storage.chat_tail import MessageKey, TailMessage
from understudy.storage.mongo_client import Document

if TYPE_CHECKING:
    from pymongo import DeleteOne, UpdateOne

_TIME = re.compile("[0-9]{13,18}")
_AFTER_SLASH = chr(ord("/") + 1)


def document_id(key: MessageKey) -> str:
    """The `_id` of the message `key` names, in both collections."""
    return f"{quote(key.channel, safe='')}/{key.ts:013d}/{key.id}"


def time_of(document: str) -> int | None:
    """The time in ms in the `_id` of a document; None in one that is not of our making."""
    parts = document.split("/", 2)
    return int(parts[1]) if len(parts) == 3 and _TIME.fullmatch(parts[1]) else None


def ids_of(channel: str) -> Document:
    """A condition that holds for the ids of one channel's messages."""
    name = quote(channel, safe="")
    return {"$gte": f"{name}/", "$lt": f"{name}{_AFTER_SLASH}"}


def store_messages(messages: Sequence[TailMessage]) -> "list[UpdateOne]":
    """The writes that put `messages` into `Messages`; one that is there stays as it is."""
    from bson.datetime_ms import DatetimeMS
    from pymongo import UpdateOne

    return [
        UpdateOne(
            {"_id": document_id(message.key)},
            {
                "$setOnInsert": {
                    "message": message.text,
                    "user": message.user,
                    "channel": message.key.channel,
                    "timestamp": DatetimeMS(message.key.ts),
                },
                **({"$set": {"deleted": True}} if message.deleted else {}),
            },
            upsert=True,
        )
        for message in messages
    ]


def store_prompts(messages: Sequence[TailMessage]) -> "list[UpdateOne]":
    """The writes that offer `messages` for labelling, removed ones left out.

    A label that somebody gave is never touched.
    """
    from pymongo import UpdateOne

    return [
        UpdateOne(
            {"_id": document_id(message.key)},
            {"$setOnInsert": {"prompt": message.text, "completion": ""}},
            upsert=True,
        )
        for message in messages
        if not message.deleted
    ]


def mark_deleted(keys: Sequence[MessageKey]) -> "list[UpdateOne]":
    """The writes that mark messages as removed by moderators."""
    from pymongo import UpdateOne

    return [UpdateOne({"_id": document_id(key)}, {"$set": {"deleted": True}}) for key in keys]


def withdraw_prompts(keys: Sequence[MessageKey]) -> "list[DeleteOne]":
    """The writes that take removed messages out of what waits for a label."""
    from pymongo import DeleteOne

    return [DeleteOne({"_id": document_id(key), "completion": ""}) for key in keys]


def store_label(key: MessageKey, text: str, label: str) -> "UpdateOne":
    """The write that labels the message `key` names; an empty label takes it back."""
    from pymongo import UpdateOne

    return UpdateOne(
        {"_id": document_id(key)},
        {"$set": {"completion": label}, "$setOnInsert": {"prompt": text}},
        upsert=True,
    )
