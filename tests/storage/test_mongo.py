"""The copy of the chat in MongoDB: whole, once, and caught up after everything that goes wrong.

Runs over a MongoDB wire-protocol server, and over the MongoDB that `UNDERSTUDY_TEST_MONGO_URI`
names, if any.
"""

import builtins
import gc
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.storage.mongo_server import MongoServer, behind_gate, eventually, wire_server
from understudy.events import ChatMessage, Moderation, new_id
from understudy.storage.chat_log import ChatArchive
from understudy.storage.chat_tail import MessageKey
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.mongo import MongoArchive
from understudy.storage.mongo_client import MongoError, explain, open_client
from understudy.storage.mongo_documents import document_id
from understudy.storage.mongo_labels import LabelledMessage, MongoLabels
from understudy.storage.rows import ChatRow, LogRow, ModerationRow

EVENING = int(datetime(2026, 11, 21, 18, tzinfo=UTC).timestamp() * 1000)
QUICK = {"poll": 0.02, "first_retry": 0.02, "last_retry": 0.1}
REAL = os.environ.get("UNDERSTUDY_TEST_MONGO_URI", "")

Log = Callable[..., Awaitable[None]]

# PyMongo leaves the socket to the collector when it is cancelled while it connects.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def sockets_collected() -> Iterator[None]:
    """What PyMongo leaves behind is collected before another module's tests could be blamed."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def wire_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with wire_server(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.fixture(params=["wire protocol", "MongoDB"])
async def mongo(request: pytest.FixtureRequest) -> AsyncIterator[MongoServer]:
    if request.param == "MongoDB" and not REAL:
        pytest.skip("UNDERSTUDY_TEST_MONGO_URI names no MongoDB")
    url = REAL if request.param == "MongoDB" else request.getfixturevalue("wire_url")
    async with behind_gate(url) as server:
        yield server


@pytest.fixture
async def channel(mongo: MongoServer) -> AsyncIterator[str]:
    """A channel of this test alone."""
    name = new_id("test_")
    yield name
    await mongo.forget(name)


@pytest.fixture
async def append(database: Database) -> AsyncIterator[Log]:
    """Makes rows durable in the embedded database."""
    writer = LogWriter(database)
    await writer.start()

    async def append(*rows: LogRow) -> None:
        for row in rows:
            await writer.put(row)
        await writer.flushed()

    yield append
    await writer.close()


@asynccontextmanager
async def copying(url: str, database: Database) -> AsyncGenerator[MongoArchive]:
    """A copy under way; it is closed, and so caught up, at the end."""
    archive = MongoArchive(url, database, **QUICK)
    archive.start()
    try:
        yield archive
    finally:
        await archive.close(within=30)


def said(channel: str, number: int, text: str = "", **fields: Any) -> ChatRow:
    values: dict[str, Any] = {"user": f"viewer{number % 7}", "text": text or f"line {number}"}
    values |= {"id": f"m{number}", "ts": EVENING + number, **fields}
    return ChatRow(ChatMessage(channel=channel, **values))


def acted(channel: str, number: int, kind: Any, **fields: Any) -> ModerationRow:
    act = Moderation(id=new_id(), channel=channel, ts=EVENING + number, kind=kind, **fields)
    return ModerationRow(act)


async def documents_of(database: Database, channel: str) -> list[dict[str, Any]]:
    """What `Messages` should hold of the archive, in order of ids."""
    documents = [
        {
            "_id": f"{channel}/{entry.message.ts}/{entry.message.id}",
            "message": entry.message.text,
            "user": entry.message.user,
            "channel": channel,
            "timestamp": datetime.fromtimestamp(entry.message.ts / 1000, UTC),
            **({"deleted": True} if entry.deleted else {}),
        }
        async for entry in ChatArchive(database).iter_messages(channel)
    ]
    return sorted(documents, key=lambda document: document["_id"])


async def assert_whole(mongo: MongoServer, database: Database, channel: str) -> None:
    """The copy is the archive: nothing is missing, there twice, or different."""
    assert await mongo.all(mongo.messages, channel) == await documents_of(database, channel)


# --- what is stored


async def test_every_message_is_there_as_the_archive_has_it(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    hostile = '\'; drop table /x $where {"$gt": 1} \u202e ☃ 💜'
    await append(*(said(channel, number) for number in range(50)))
    await append(said(channel, 50, hostile, name="Kim"), said(channel, 51, id=""))
    async with copying(mongo.url, database) as archive:
        pass
    assert archive.problems() == []
    await assert_whole(mongo, database, channel)
    prompts = await mongo.all(mongo.classification, channel)
    assert len(prompts) == 52
    key = document_id(MessageKey(channel, EVENING + 50, "m50"))
    assert {"_id": key, "prompt": hostile, "completion": ""} in prompts


async def test_messages_are_copied_as_they_are_stored(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    async with copying(mongo.url, database):
        for number in (3, 1, 2):
            await append(said(channel, number))
            await eventually(_count_is(mongo, channel, [3, 1, 2].index(number) + 1))
    await assert_whole(mongo, database, channel)


async def test_what_moderators_remove_is_marked_and_not_offered_for_labels(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    await append(*(said(channel, number) for number in range(20)))
    await append(acted(channel, 5, "timeout", user="viewer1"))
    async with copying(mongo.url, database):
        pass
    labels = MongoLabels(mongo.url)
    await labels.set(MessageKey(channel, EVENING + 8, "m8"), "line 8", "negative")
    await labels.close()
    await append(acted(channel, 9, "ban", user="viewer1"))
    await append(acted(channel, 9, "delete", message_id="m3"))
    async with copying(mongo.url, database):
        pass
    removed = {"m1", "m3", "m8"}
    stored = await mongo.all(mongo.messages, channel)
    assert {document["_id"].split("/")[2] for document in stored if document.get("deleted")} == (
        removed
    )
    waiting = await mongo.all(mongo.classification, channel)
    left = {f"m{number}" for number in range(20)} - removed
    # A label that was given stays: somebody's work.
    assert {document["_id"].split("/")[2] for document in waiting} == left | {"m8"}
    await append(acted(channel, 19, "clear"))
    async with copying(mongo.url, database):
        pass
    assert all(document["deleted"] for document in await mongo.all(mongo.messages, channel))
    assert len(await mongo.all(mongo.classification, channel)) == 1


async def test_labels_are_read_by_channel_and_never_touched(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    await append(*(said(channel, number) for number in range(5)), said(f"{channel}x", 1, "else"))
    async with copying(mongo.url, database):
        pass
    # As a person does with any tool.
    key = document_id(MessageKey(channel, EVENING + 1, "m1"))
    await mongo.classification.update_one({"_id": key}, {"$set": {"completion": "positive"}})
    labels = MongoLabels(mongo.url)
    await labels.set(MessageKey(channel, EVENING + 3, "m3"), "line 3", "negative")
    await labels.set(MessageKey(channel, EVENING + 4, "m4"), "line 4", "neutral")
    await labels.set(MessageKey(channel, EVENING + 4, "m4"), "line 4", "")
    await labels.set(MessageKey(f"{channel}x", EVENING + 1, "m1"), "else", "neutral")
    await _copy_anew(mongo, database)
    expected = [LabelledMessage("line 1", "positive"), LabelledMessage("line 3", "negative")]
    assert [label async for label in labels.labelled(channel)] == expected
    assert set(expected) <= {label async for label in labels.labelled()}
    await labels.close()
    await mongo.forget(f"{channel}x")


# --- what goes wrong


async def test_an_outage_a_restart_and_repeats_lose_and_double_nothing(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    rows = [said(channel, number) for number in range(10_000)]
    # The server goes away somewhere in the middle of the writes.
    mongo.gate.shut_after = 600_000
    async with copying(mongo.url, database) as archive:
        await append(*rows[:6_000])
        await eventually(_has_problem(archive))
        assert await mongo.messages.count_documents({"channel": channel}) < 6_000
        await append(*rows[6_000:7_000], *rows[:100])
        await mongo.gate.open()
        await eventually(_count_is(mongo, channel, 7_000))
        await eventually(_has_problem(archive, expected=False))
        # Cut off again, it is stopped with work left over, and started after more has come.
        await mongo.gate.shut()
        await append(*rows[7_000:8_000])
        await eventually(_has_problem(archive))
        await archive.close(within=0.01)
    await append(*rows[8_000:], acted(channel, 4_000, "timeout", user="viewer3"))
    await mongo.gate.open()
    async with copying(mongo.url, database) as again:
        await eventually(_count_is(mongo, channel, 10_000))
    assert again.problems() == []
    await assert_whole(mongo, database, channel)
    assert len(await mongo.all(mongo.classification, channel)) == 10_000 - 572


async def test_a_restart_writes_nothing_again(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    await append(*(said(channel, number) for number in range(500)))
    async with copying(mongo.url, database):
        pass
    written = mongo.gate.passed
    async with copying(mongo.url, database):
        pass
    assert mongo.gate.passed - written < written / 10
    await assert_whole(mongo, database, channel)


async def test_a_copy_that_lost_its_place_starts_over_without_harm(
    mongo: MongoServer, database: Database, append: Log, channel: str
) -> None:
    await append(*(said(channel, number) for number in range(30)))
    await append(acted(channel, 9, "timeout", user="viewer1"))
    async with copying(mongo.url, database):
        pass
    await _copy_anew(mongo, database)
    await assert_whole(mongo, database, channel)


async def test_another_log_at_the_same_place_is_copied_from_its_start(
    mongo: MongoServer, tmp_path: Path, channel: str
) -> None:
    """As when the data directory was deleted: the copy keeps the old chat and gets the new."""
    for first in (0, 100):
        _remove_databases(tmp_path)
        database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/same.db")
        log = LogWriter(database)
        await log.start()
        for number in range(first, first + 10):
            await log.append(said(channel, number))
        for number in range(3 if first == 0 else 1):
            # Copied in between: the acts of the old log are not taken for those of the new one.
            async with copying(mongo.url, database):
                pass
            await log.append(acted(channel, first, "delete", message_id=f"m{first + number}"))
        async with copying(mongo.url, database):
            pass
        await log.close()
        await database.close()
    stored = await mongo.all(mongo.messages, channel)
    assert len(stored) == 20
    removed = {document["_id"].split("/")[2] for document in stored if document.get("deleted")}
    assert removed == {"m0", "m1", "m2", "m100"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mongodb://kim:hunter2@127.0.0.1:1/", "MongoDB at 127.0.0.1:1 cannot be reached"),
        ("mongodb://kim:hunter2@[::1", "mongo.url is not a MongoDB address"),
        ("mongodb://kim:hun@ter2@127.0.0.1:1/", "mongo.url is not a MongoDB address"),
        ("mysql://kim:hunter2@127.0.0.1/", "mongo.url is not a MongoDB address"),
        ("mongodb://kim:hunter2@127.0.0.1:1/?tls=true&ssl=false", "mongo.url is not"),
    ],
)
async def test_a_wrong_address_is_one_sentence_without_the_password(
    url: str, words: str, database: Database, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("understudy.storage.mongo_client.SELECTION_MS", 50)
    caplog.set_level(logging.INFO)
    async with copying(url, database) as archive:
        await eventually(_has_problem(archive))
        (problem,) = archive.problems()
    assert problem.startswith(words)
    for text in (problem, caplog.text):
        assert "hunter2" not in text
        assert "ter2" not in text
        assert "Traceback" not in text
    # However often it was tried, it was said once.
    assert caplog.text.count(words) == 1


async def test_a_missing_extra_is_said(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pymongo(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] in {"pymongo", "bson"}:
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_pymongo)
    async with copying("mongodb://127.0.0.1:1/", database) as archive:
        await eventually(_has_problem(archive))
    assert archive.problems() == [
        "mongo.url is set but PyMongo is not installed: pip install 'understudy[mongo]'"
    ]


async def test_trouble_with_the_log_itself_is_said(mongo: MongoServer, tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/log.db")
    await database.close()
    (tmp_path / "log.db").write_bytes(b"no database at all" * 1_000)
    async with copying(mongo.url, database) as archive:
        await eventually(_has_problem(archive))
        (problem,) = archive.problems()
    await database.close()
    assert "not a database" in problem


def test_what_the_server_refuses_is_said() -> None:
    from pymongo.errors import BulkWriteError, OperationFailure

    url = "mongodb://kim:hunter2@db.example:27017/"
    refused = {"writeErrors": [{"errmsg": "Document failed validation", "op": {"message": "x"}}]}
    for error, words in [
        (OperationFailure("Authentication failed.", 18), "the user or the password"),
        (OperationFailure("bad auth", 8000), "the user or the password"),
        (OperationFailure("not authorized on TwitchChat", 13), "readWrite on TwitchChat"),
        (BulkWriteError(refused), "offered again: Document failed validation"),
        (OperationFailure("x" * 5_000, 1), "x…"),
    ]:
        known = explain(error, url)
        assert known is not None
        assert words in str(known)
        assert len(str(known)) < 300
    assert explain(ValueError("not MongoDB's"), url) is None


async def test_labels_of_a_server_that_is_away_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("understudy.storage.mongo_client.SELECTION_MS", 50)
    labels = MongoLabels("mongodb://127.0.0.1:1/")
    with pytest.raises(MongoError, match="cannot be reached"):
        await labels.set(MessageKey("ada", 1, "m"), "text", "neutral")
    with pytest.raises(MongoError, match="cannot be reached"):
        await anext(labels.labelled())
    await labels.close()


def test_a_client_is_opened_without_a_connection() -> None:
    with pytest.raises(MongoError, match="is not a MongoDB address"):
        open_client("nowhere")


# --- what the tests share


def _remove_databases(folder: Path) -> None:
    for file in folder.glob("*.db*"):
        file.unlink()


async def _count_is(mongo: MongoServer, channel: str, count: int) -> AsyncGenerator[bool]:
    while True:
        yield await mongo.messages.count_documents({"channel": channel}) == count


async def _has_problem(archive: MongoArchive, *, expected: bool = True) -> AsyncGenerator[bool]:
    while True:
        yield bool(archive.problems()) == expected


async def _copy_anew(mongo: MongoServer, database: Database) -> None:
    """Copy the log of `database` as if it had never been copied."""
    archive = MongoArchive(mongo.url, database)
    await mongo.progress.delete_one({"_id": archive._origin})
    async with copying(mongo.url, database):
        pass
