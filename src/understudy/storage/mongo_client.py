"""The connection to MongoDB, its names, and its troubles as sentences.

Owns how a client is opened and what its errors mean. Does not own what is stored
(`storage.mongo`, `storage.mongo_labels`). PyMongo is an extra and slow to import: it is loaded
when a client is opened.
"""

from typing import TYPE_CHECKING, Any

from understudy.storage.errors import StorageError

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from pymongo.asynchronous.database import AsyncDatabase

DATABASE = "TwitchChat"
MESSAGES = "Messages"
CLASSIFICATION = "MessageClassification"
PROGRESS = "UnderstudyProgress"
"""Where each log that is copied here stands."""

Document = dict[str, Any]

SELECTION_MS = 5_000
"""How long a server is looked for."""
ANSWER_MS = 30_000
"""How long the answer to one operation is waited for."""

_DETAIL_CHARS = 200
_AUTHENTICATION_FAILED = 18
_UNAUTHORIZED = 13
_ATLAS = 8000
_WRONG_ADDRESS = (
    "mongo.url is not a MongoDB address: write mongodb://user:password@host:27017/ with special "
    "characters in the password percent-encoded"
)
_INSTALL = "mongo.url is set but PyMongo is not installed: pip install 'understudy[mongo]'"


class MongoError(StorageError):
    """MongoDB cannot be used right now; the message is one sentence without credentials."""


def open_client(url: str) -> "AsyncMongoClient[Document]":
    """A client for `url`; it connects with its first operation. Raises `MongoError`."""
    try:
        from pymongo import AsyncMongoClient
        from pymongo.errors import PyMongoError
    except ImportError:
        raise MongoError(_INSTALL) from None
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise MongoError(_WRONG_ADDRESS)
    try:
        return AsyncMongoClient(
            url,
            appname="understudy",
            serverSelectionTimeoutMS=SELECTION_MS,
            connectTimeoutMS=SELECTION_MS,
            socketTimeoutMS=ANSWER_MS,
            tz_aware=True,
        )
    except (PyMongoError, ValueError, TypeError):
        # What PyMongo says may repeat parts of the address, and so of the password.
        raise MongoError(_WRONG_ADDRESS) from None


def open_database(client: "AsyncMongoClient[Document]") -> "AsyncDatabase[Document]":
    """The database; what it acknowledges survives the loss of a replica set's primary."""
    from pymongo import WriteConcern

    return client.get_database(DATABASE, write_concern=WriteConcern("majority"))


def explain(error: Exception, url: str) -> MongoError | None:
    """`error` as a sentence; None when it is not MongoDB's."""
    if isinstance(error, MongoError):
        return error
    try:
        from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
    except ImportError:
        return None
    if isinstance(error, OperationFailure):
        return MongoError(_refusal(error.code, _first_message(error)))
    if isinstance(error, ConnectionFailure):
        why = str(error).partition(" (configured")[0].partition(", Timeout")[0]
        return MongoError(
            f"MongoDB at {place_of(url)} cannot be reached, chat is copied to it later: "
            f"{_shorten(why)}"
        )
    if isinstance(error, PyMongoError):
        return MongoError(f"MongoDB cannot be used: {_shorten(str(error))}")
    return None


def place_of(url: str) -> str:
    """Host and port of `url` as it names them, without credentials and options."""
    address = url.partition("://")[2]
    return address.rpartition("@")[2].partition("/")[0].partition("?")[0]


def _refusal(code: int | None, why: str) -> str:
    if code in {_AUTHENTICATION_FAILED, _ATLAS}:
        return "MongoDB refuses the user or the password in mongo.url: correct them"
    if code == _UNAUTHORIZED:
        return f"MongoDB forbids it: give the user in mongo.url the role readWrite on {DATABASE}"
    return f"MongoDB refuses the chat, which is kept and offered again: {why}"


def _first_message(error: Any) -> str:
    """What the server said about the first document or command it refused."""
    details: dict[str, Any] = error.details or {}
    for kind in ("writeErrors", "writeConcernErrors"):
        for refused in details.get(kind, []):
            return _shorten(str(refused.get("errmsg", "")))
    return _shorten(str(details.get("errmsg", error)))


def _shorten(why: str) -> str:
    line = " ".join(why.split())
    return line if len(line) <= _DETAIL_CHARS else f"{line[:_DETAIL_CHARS]}…"
