import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Table, delete, func, select

from understudy.events import ChatMessage, Decision, Moderation, StreamEvent
from understudy.storage import sqlite
from understudy.storage.engine import Database
from understudy.storage.errors import LogUnavailable, StorageError
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import (
    ChatRow,
    DecisionRow,
    ExperienceRow,
    FeedbackRow,
    LogRow,
    ModerationRow,
    SessionMessageRow,
    StreamEventRow,
)
from understudy.storage.tables import (
    channel,
    chat_message,
    dead_letter,
    decision,
    experience,
    feedback,
    moderation,
    session_message,
    stream_event,
    viewer,
)


def chat(number: int, text: str = "hello", **fields: Any) -> ChatRow:
    event = ChatMessage(
        **{"id": f"m{number}", "channel": "ann", "ts": 1_000 + number, "user": "bo"}
        | {"text": text}
        | fields
    )
    return ChatRow(event)


def decided(number: int, reason: str) -> DecisionRow:
    event = Decision(
        id=f"d{number}", channel="ann", ts=5_000, message_id=f"m{number}",
        message_ts=1_000 + number, user="bo", action="skipped", reason=reason,
    )  # fmt: skip
    return DecisionRow(event, event.message_ts)


@asynccontextmanager
async def writing(database: Database, **options: Any) -> AsyncIterator[LogWriter]:
    writer = LogWriter(database, **options)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


async def stored(database: Database, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    async with database.read() as connection:
        rows = await connection.execute(select(*(table.c[name] for name in columns)))
        return [tuple(row) for row in rows]


async def count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the log has no event for it, and needs none
            await asyncio.sleep(0.005)


async def test_an_appended_row_is_there_for_any_reader(any_database: Database) -> None:
    async with writing(any_database) as writer:
        await writer.append(
            chat(1, "hi ünï", name="Bo", role="vip", first=True, reply_to="m0",
                 reply_to_user="cy", tags={"color": "#fff"})
        )  # fmt: skip
        names = ("msg_id", "ts", "text", "name", "role", "first", "reply_to", "reply_to_user")
        row = ("m1", 1_001, "hi ünï", "Bo", "vip", True, "m0", "cy")
        assert await stored(any_database, chat_message, *names) == [row]
        assert writer.stats.committed == 1
    tags = await stored(any_database, chat_message, "tags")
    assert tags[0][0].replace(" ", "") == '{"color":"#fff"}'
    people = await stored(any_database, viewer, "platform", "login", "name", "first_seen")
    assert people == [("twitch", "bo", "Bo", 1_001)]
    assert await stored(any_database, channel, "name", "platform") == [("ann", "twitch")]


async def test_every_kind_of_row_has_its_table(any_database: Database) -> None:
    rows: list[LogRow] = [
        FeedbackRow(id="f1", experience="x1", ts=9, kind="thumbs", value=-1, by="cy", note="no"),
        decided(1, "cooldown"),
        StreamEventRow(
            StreamEvent(id="s1", channel="ann", ts=3, kind="raid", user="cy", amount=7, text="yo")
        ),
        StreamEventRow(StreamEvent(id="s2", channel="ann", ts=4, kind="gift", user="")),
        ModerationRow(Moderation(id="o1", channel="ann", ts=5, kind="ban", user="cy")),
        SessionMessageRow(
            id="u1", session="s", ts=6, role="assistant", user="cy", text="hey", run="r1",
            status="stopped",
        ),
        ExperienceRow(
            id="x1", ts=7, channel="ann", session="s", user="cy", persona="p", model="m",
            prompt_messages=[{"role": "user", "content": 'say "hi"'}], prompt_text="hi",
            response="hey", status="complete", context_account=[{"name": "chat", "tokens": 3}],
        ),
    ]  # fmt: skip
    async with writing(any_database) as writer:
        await asyncio.gather(*(writer.append(row) for row in rows))
    assert await stored(any_database, decision, "msg_id", "ts", "action", "reason", "score") == [
        ("m1", 1_001, "skipped", "cooldown", 0.0)
    ]
    events = await stored(any_database, stream_event, "kind", "amount", "text", "viewer_id")
    assert events == [("raid", 7, "yo", 1), ("gift", 0, "", None)]
    assert await stored(any_database, moderation, "kind", "login", "message_id") == [
        ("ban", "cy", "")
    ]
    assert await stored(any_database, session_message, "id", "user_id", "run", "status") == [
        ("u1", "cy", "r1", "stopped")
    ]
    told = await stored(
        any_database, experience, "id", "session_id", "first_token_ms", "total_ms", "origin"
    )
    assert told == [("x1", "s", None, 0, "web")]
    [(prompt, account)] = await stored(
        any_database, experience, "prompt_messages", "context_account"
    )
    assert msgspec.json.decode(prompt) == [{"role": "user", "content": 'say "hi"'}]
    assert msgspec.json.decode(account) == [{"name": "chat", "tokens": 3}]
    assert await stored(any_database, feedback, "experience_id", "value", "by_user", "note") == [
        ("x1", -1.0, "cy", "no")
    ]


async def test_rows_are_stored_in_the_order_they_came(any_database: Database) -> None:
    rows = [chat(number, ts=50_000 - number) for number in range(5_000)]
    async with writing(any_database) as writer:
        for row in rows:
            await writer.put(row)
        await writer.flushed()
        assert writer.stats.queued == 0
    async with any_database.read() as connection:
        ids = await connection.execute(select(chat_message.c.msg_id).order_by(chat_message.c.id))
        assert list(ids.scalars()) == [row.event.id for row in rows]


@pytest.mark.parametrize("size", [1, 2, 511, 512, 513, 1_237])
async def test_a_batch_of_any_size_is_stored_whole_and_in_order(
    any_database: Database, size: int
) -> None:
    writer = LogWriter(any_database)
    for number in range(size):
        await writer.put(chat(number, f"text {number}"))
    await writer.start()
    await writer.flushed()
    assert (writer.stats.committed, writer.stats.duplicates) == (size, 0)
    await writer.close()
    ordered = select(chat_message.c.text).order_by(chat_message.c.id)
    async with any_database.read() as connection:
        texts = list((await connection.execute(ordered)).scalars())
    assert texts == [f"text {number}" for number in range(size)]


async def test_a_row_handed_in_again_is_counted_and_not_stored(any_database: Database) -> None:
    async with writing(any_database) as writer:
        await writer.append(chat(1, "first"))
        # Again in another batch, and twice in one batch.
        await asyncio.gather(*(writer.append(chat(n, "again")) for n in (1, 2, 2)))
        assert (writer.stats.committed, writer.stats.duplicates) == (2, 2)
    assert await stored(any_database, chat_message, "msg_id", "text") == [
        ("m1", "first"), ("m2", "again")
    ]  # fmt: skip


async def test_the_last_decision_about_a_message_stands(any_database: Database) -> None:
    async with writing(any_database) as writer:
        await writer.append(decided(1, "waiting"))
        await asyncio.gather(*(writer.append(decided(1, r)) for r in ("cooldown", "mention")))
        await asyncio.gather(*(writer.append(decided(2, r)) for r in ("a", "b", "c")))
    assert await stored(any_database, decision, "msg_id", "reason") == [
        ("m1", "mention"), ("m2", "c")
    ]  # fmt: skip


async def test_a_viewer_is_renamed_and_seen_first_at_the_earliest_message(
    any_database: Database,
) -> None:
    async with writing(any_database) as writer:
        await writer.append(chat(5, name="Bo"))
        await writer.append(chat(6, name=""))
        await writer.append(chat(7, name="BoB"))
        await writer.append(chat(1, name="BoB"))
    async with writing(any_database) as writer:
        await writer.append(chat(8, name=""))
    people = await stored(any_database, viewer, "login", "name", "first_seen")
    assert people == [("bo", "BoB", 1_001)]


async def test_an_erased_viewer_who_chats_again_is_stored_anew(any_database: Database) -> None:
    async with writing(any_database) as writer:
        await writer.append(chat(1))
        async with any_database.write() as connection:
            await connection.execute(delete(chat_message))
            await connection.execute(delete(viewer))
        await writer.append(chat(2))
        assert writer.stats.parked == 0
    assert await stored(any_database, chat_message, "msg_id") == [("m2",)]


@pytest.mark.parametrize(
    ("text", "why"),
    [("half \ud83d", "surrogates"), ("nul \0", "NUL"), (None, "null|NULL")],
)
async def test_a_poison_row_is_parked_and_the_rest_is_stored(
    any_database: Database, text: Any, why: str
) -> None:
    rows = [chat(number) for number in range(9)]
    rows[4] = chat(4, text)
    async with writing(any_database) as writer:
        results = await asyncio.gather(*map(writer.append, rows), return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 4 + [StorageError] + [
            type(None)
        ] * 4
        assert writer.stats.parked == 1
        assert writer.stats.last_error is None
    assert await count(any_database, chat_message) == 8
    [(kind, payload, error)] = await stored(any_database, dead_letter, "kind", "payload", "error")
    assert kind == "ChatRow"
    assert "m4" in payload
    assert any(word in error for word in why.split("|"))


async def test_a_nul_in_a_tag_is_parked_too(any_database: Database) -> None:
    async with writing(any_database) as writer:
        with pytest.raises(StorageError, match="NUL"):
            await writer.append(chat(1, tags={"flags": "a\0b"}))
    assert await count(any_database, dead_letter) == 1


async def test_text_that_only_looks_like_an_escaped_nul_is_stored(any_database: Database) -> None:
    async with writing(any_database) as writer:
        await writer.append(chat(1, r"back\u0000slash"))
    assert await stored(any_database, chat_message, "text") == [(r"back\u0000slash",)]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections writers open from here on, so that a test can bring them into trouble."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite.connect

    def remember(path: Path) -> sqlite3.Connection:
        opened.append(connect(path))
        opened[-1].execute("PRAGMA busy_timeout = 20")
        return opened[-1]

    monkeypatch.setattr(sqlite, "connect", remember)
    return opened


async def test_a_full_disk_is_reported_and_nothing_is_lost(
    database: Database, connections: list[sqlite3.Connection]
) -> None:
    async with writing(database, queue_rows=40, ack_timeout=0.2) as writer:
        await writer.append(chat(0))
        pages = connections[0].execute("PRAGMA page_count").fetchone()[0]
        connections[0].execute(f"PRAGMA max_page_count = {pages}")
        rows = [chat(number, "x" * 4_000) for number in range(1, 41)]
        results = await asyncio.gather(*map(writer.append, rows), return_exceptions=True)
        assert {type(result) for result in results} == {LogUnavailable}
        assert writer.stats.last_error == "the disk is full: free some space"
        assert writer.stats.queued == 40

        with pytest.raises(LogUnavailable, match="disk is full"):
            writer.submit(chat(41))
        with pytest.raises(LogUnavailable, match="disk is full"):
            await writer.append(chat(41))
        with pytest.raises(LogUnavailable, match="disk is full"):
            await writer.put(chat(41))
        with pytest.raises(LogUnavailable, match="disk is full"):
            await writer.flushed()

        connections[0].execute("PRAGMA max_page_count = 1000000")
        await until(lambda: writer.stats.queued == 0)
        await writer.append(chat(41))
        assert writer.stats.last_error is None
    assert await count(database, chat_message) == 42


async def test_a_read_only_database_is_reported_until_it_can_be_written(
    database: Database, connections: list[sqlite3.Connection]
) -> None:
    async with writing(database, ack_timeout=0.1) as writer:
        await writer.append(chat(0))
        connections[0].execute("PRAGMA query_only = ON")
        with pytest.raises(LogUnavailable, match="not stored yet: the database is read-only"):
            await writer.append(chat(1))
        connections[0].execute("PRAGMA query_only = OFF")
        await writer.flushed()
    assert await count(database, chat_message) == 2


async def test_a_lock_held_by_another_connection_is_waited_out(
    database: Database, connections: list[sqlite3.Connection]
) -> None:
    assert database.path is not None
    async with writing(database, ack_timeout=0.1) as writer:
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogUnavailable, match="not stored yet"):
                await writer.append(chat(1))
            await until(lambda: writer.stats.last_error is not None)
            assert "locked by another process" in str(writer.stats.last_error)
            other.execute("ROLLBACK")
        await until(lambda: writer.stats.queued == 0)
    assert await count(database, chat_message) == 1
    assert connections


async def test_a_full_queue_holds_writers_back(database: Database) -> None:
    writer = LogWriter(database, queue_rows=3, ack_timeout=0.05)
    for number in range(3):
        await writer.put(chat(number))
    with pytest.raises(LogUnavailable, match="3 rows behind"):
        writer.submit(chat(3))
    with pytest.raises(LogUnavailable, match=r"took longer than 0\.05 s"):
        await writer.append(chat(3))
    waiting = asyncio.create_task(writer.put(chat(3)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await writer.start()
    await waiting
    await writer.flushed()
    assert await count(database, chat_message) == 4
    await writer.close()


async def test_many_producers_with_a_small_queue_all_get_their_row_stored(
    database: Database,
) -> None:
    async with writing(database, queue_rows=10, ack_timeout=20) as writer:
        await asyncio.gather(*(writer.append(chat(number)) for number in range(200)))
    assert await count(database, chat_message) == 200


async def test_closing_stores_what_is_queued_and_takes_no_more(database: Database) -> None:
    writer = LogWriter(database)
    await writer.start()
    future = writer.submit(chat(1))
    await writer.close()
    await writer.close()
    assert future.done()
    for attempt in (writer.append(chat(2)), writer.put(chat(2))):
        with pytest.raises(LogUnavailable, match="closed"):
            await attempt
    await writer.flushed()
    assert await count(database, chat_message) == 1


async def test_closing_gives_up_after_its_bound_and_says_how_much_is_lost(
    database: Database, connections: list[sqlite3.Connection]
) -> None:
    writer = LogWriter(database, queue_rows=2)
    await writer.start()
    await writer.append(chat(0))
    connections[0].execute("PRAGMA query_only = ON")
    futures = [writer.submit(chat(number)) for number in (1, 2)]
    flushed = asyncio.create_task(writer.flushed())
    await until(lambda: writer.stats.last_error is not None)
    with pytest.raises(LogUnavailable, match="2 rows were not stored: the database is read-only"):
        await writer.close(within=0.05)
    results = await asyncio.gather(*futures, flushed, return_exceptions=True)
    assert {type(result) for result in results} == {LogUnavailable}


async def test_closing_a_log_that_never_started_says_what_is_lost(database: Database) -> None:
    writer = LogWriter(database)
    await writer.put(chat(1))
    with pytest.raises(LogUnavailable, match="1 rows were not stored"):
        await writer.close()


async def test_a_waiting_writer_is_told_when_the_log_closes(database: Database) -> None:
    writer = LogWriter(database, queue_rows=1)
    await writer.put(chat(1))
    waiting = asyncio.create_task(writer.put(chat(2)))
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable, match="1 rows"):
        await writer.close()
    with pytest.raises(LogUnavailable, match="closed"):
        await waiting


async def test_a_cancelled_append_does_not_disturb_the_others(database: Database) -> None:
    async with writing(database) as writer:
        first = asyncio.create_task(writer.append(chat(1)))
        await asyncio.sleep(0)
        first.cancel()
        await writer.append(chat(2))
    assert await count(database, chat_message) == 2


async def test_an_event_loop_without_a_pause_does_not_starve_the_log(database: Database) -> None:
    interval = sys.getswitchinterval()
    async with writing(database, ack_timeout=30) as writer:
        rows = [writer.submit(chat(number)) for number in range(200)]
        while not all(row.done() for row in rows):
            sum(range(50_000))
            await asyncio.sleep(0)
        assert writer.stats.committed == 200
    assert sys.getswitchinterval() == interval


async def test_an_unreachable_postgresql_is_reported_and_retried(
    fresh_postgres_url: str, postgres_url: str
) -> None:
    database = await Database.open(fresh_postgres_url)
    operator = await Database.open(postgres_url)
    async with writing(database, ack_timeout=0.3) as writer:
        await writer.append(chat(1))
        async with operator.write() as connection:
            await connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = $1 AND pid <> pg_backend_pid()",
                (fresh_postgres_url.split("/")[3].split("?")[0],),
            )
        await writer.append(chat(2))
    assert await count(database, chat_message) == 2
    await database.close()
    await operator.close()
