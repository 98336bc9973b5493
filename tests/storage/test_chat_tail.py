"""The chat log in the order it was stored, in SQLite and PostgreSQL."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from understudy.events import ChatMessage, Moderation
from understudy.storage import chat_tail
from understudy.storage.chat_log import ChatArchive
from understudy.storage.chat_tail import ChatTail, MessageKey, TailMessage, TailPlace
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow, LogRow, ModerationRow
from understudy.storage.tables import chat_message

Log = Callable[..., Awaitable[None]]


def said(ts: int, *, id: str = "", channel: str = "ada", user: str = "kim") -> ChatRow:
    key = id or f"{channel}{ts}"
    return ChatRow(ChatMessage(id=key, channel=channel, ts=ts, user=user, text=f"at {ts}"))


def acted(ts: int, kind: Any, *, channel: str = "ada", **fields: Any) -> ModerationRow:
    return ModerationRow(
        Moderation(id=f"act{kind}{ts}{fields}", channel=channel, ts=ts, kind=kind, **fields)
    )


async def read_all(tail: ChatTail, page: int = 100) -> list[TailMessage]:
    """Every message, page by page."""
    end, place, found = await tail.end(), 0, []
    while messages := await tail.messages(place, end.message, page):
        found += messages
        place = messages[-1].row
    return found


async def removed(tail: ChatTail, after: int = 0) -> list[list[MessageKey]]:
    """What each act after the row `after` removes."""
    acts = await tail.removals(after, (await tail.end()).moderation, 1_000)
    return [[key async for keys in _chunks(tail, act) for key in keys] for act in acts]


async def _chunks(tail: ChatTail, act: Any) -> Any:
    async for keys in tail.removed_by(act):
        yield keys


async def test_an_empty_log_has_its_end_at_the_start(any_database: Database) -> None:
    tail = ChatTail(any_database)
    assert await tail.end() == TailPlace()
    assert await tail.messages(0, 0, 10) == []
    assert await tail.key_at(1) is None


async def test_messages_come_in_the_order_they_were_stored(
    any_database: Database, log: Log
) -> None:
    await log(said(30), said(20, channel="bob", user="lee"), said(30))
    tail = ChatTail(any_database)
    end = await tail.end()
    # An import stores old messages later.
    await log(said(10))
    assert [message.key.ts for message in await tail.messages(0, end.message, 10)] == [30, 20]
    old, *others = await tail.messages(end.message, (await tail.end()).message, 10)
    assert others == []
    assert old == TailMessage(old.row, MessageKey("ada", 10, "ada10"), "kim", "at 10", False)
    assert await tail.key_at(old.row) == old.key
    assert [message.key for message in await read_all(tail, page=1)] == [
        MessageKey("ada", 30, "ada30"),
        MessageKey("bob", 20, "bob20"),
        MessageKey("ada", 10, "ada10"),
    ]


async def test_an_act_names_what_it_removes(
    any_database: Database, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_tail, "CHUNK", 2)
    await log(*(said(ts) for ts in range(1, 6)), said(3, id="lees", user="lee"))
    await log(said(2, channel="bob"))
    await log(
        acted(2, "delete", message_id="ada4"),
        acted(3, "timeout", user="kim"),
        acted(9, "ban", user="kim"),
        acted(4, "clear"),
        acted(9, "delete", message_id="unknown"),
    )
    found = [[key.id for key in keys] for keys in await removed(ChatTail(any_database))]
    assert found == [
        ["ada4"],
        ["ada1", "ada2", "ada3"],
        ["ada3", "ada4", "ada5"],  # from the timeout on, which had removed what was before it
        ["ada1", "ada2", "ada3", "lees", "ada4"],
        [],
    ]


async def test_messages_stored_after_an_act_know_of_it(any_database: Database, log: Log) -> None:
    await log(acted(5, "timeout", user="kim"), acted(5, "delete", message_id="ada7"))
    await log(said(4), said(5), said(6), said(7), said(3, user="lee"), said(4, channel="bob"))
    found = await read_all(ChatTail(any_database))
    assert [message.key.id for message in found if message.deleted] == ["ada4", "ada5", "ada7"]


async def test_what_is_deleted_is_what_the_archive_says(any_database: Database, log: Log) -> None:
    """Whatever the order in which a reader meets messages and acts."""
    chance = random.Random(4)
    tail, place = ChatTail(any_database), TailPlace()
    deleted: dict[MessageKey, bool] = {}
    for _ in range(12):
        await log(*(_something(chance) for _ in range(chance.randrange(12))))
        end = await tail.end()
        for message in await tail.messages(place.message, end.message, 1_000):
            deleted[message.key] = message.deleted
        for act in await tail.removals(place.moderation, end.moderation, 1_000):
            async for keys in tail.removed_by(act):
                deleted |= dict.fromkeys(keys, True)
        place = end
    archived = await ChatArchive(any_database).messages(None, None, 1_000)
    assert 0 < sum(deleted.values()) < len(deleted)
    assert deleted == {
        MessageKey(entry.message.channel, entry.message.ts, entry.message.id): entry.deleted
        for entry in archived
    }


def _something(chance: random.Random) -> LogRow:
    channel, user = chance.choice("ab"), chance.choice("klmnopqr")
    ts = chance.randrange(100)
    if chance.random() < 0.8:
        return said(ts, channel=channel, user=user)
    kind = chance.choice(["delete", "timeout", "ban", "clear"])
    match kind:
        case "delete":
            message = f"{channel}{chance.randrange(100)}"
            return acted(ts, kind, channel=channel, message_id=message)
        case "clear":
            return acted(ts // 8, kind, channel=channel)
        case _:
            return acted(ts, kind, channel=channel, user=user)


async def test_a_row_that_is_committed_late_is_not_passed_over(fresh_postgres_url: str) -> None:
    database = await Database.open(fresh_postgres_url)
    log = LogWriter(database)
    await log.start()
    await log.append(said(1))
    tail = ChatTail(database)
    start = await tail.end()
    async with database.write() as slow:
        # The slow writer draws its row id first and commits last.
        row = {"channel_id": 1, "ts": 2, "msg_id": "late", "viewer_id": 1, "text": ""}
        await slow.execute(chat_message.insert().values(row | {"first": False}))
        await log.append(said(3))
        assert await tail.end() == start
        assert await tail.end() == start
    end = await tail.end()
    found = await tail.messages(start.message, end.message, 10)
    assert [message.key.id for message in found] == ["late", "ada3"]
    await log.close()
    await database.close()
