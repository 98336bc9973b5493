"""Conversations in SQLite and PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import Any

from understudy.storage.engine import Database
from understudy.storage.rows import SessionMessageRow
from understudy.storage.sessions import SessionMessage, SessionRow, Sessions

Log = Callable[..., Awaitable[None]]

ROW = SessionRow(id="s1", channel="ada", user="kim", persona="host", created_at=1_000)


def said(number: int, *, ts: int | None = None, **fields: Any) -> SessionMessageRow:
    values: dict[str, Any] = {
        "role": "user",
        "user": "kim",
        "session": "s1",
        "text": f"text {number}",
        **fields,
    }
    return SessionMessageRow(id=f"m{number}", ts=number if ts is None else ts, **values)


async def test_a_session_comes_back_as_it_was_stored(any_database: Database) -> None:
    sessions = Sessions(any_database)
    await sessions.create(ROW)
    assert await sessions.get("s1") == ROW
    assert await sessions.get("s2") is None


async def test_creating_a_session_twice_keeps_the_first(any_database: Database) -> None:
    sessions = Sessions(any_database)
    await sessions.create(ROW)
    await sessions.create(SessionRow(id="s1", channel="", user="eve", persona="x", created_at=2))
    assert await sessions.get("s1") == ROW


async def test_the_first_end_of_a_session_stands(any_database: Database) -> None:
    sessions = Sessions(any_database)
    await sessions.create(ROW)
    await sessions.end("s1", 5_000)
    await sessions.end("s1", 6_000)
    ended = await sessions.get("s1")
    assert ended is not None
    assert ended.ended_at == 5_000


async def test_messages_are_the_newest_ones_oldest_first(any_database: Database, log: Log) -> None:
    sessions = Sessions(any_database)
    await sessions.create(ROW)
    await log(*[said(n) for n in (3, 1, 2, 4)], said(9, session="other"))
    assert [m.id for m in await sessions.messages("s1")] == ["m1", "m2", "m3", "m4"]
    assert [m.id for m in await sessions.messages("s1", limit=2)] == ["m3", "m4"]
    assert await sessions.messages("s1", limit=-1) == []


async def test_messages_of_one_instant_keep_the_order_they_were_logged_in(
    any_database: Database, log: Log
) -> None:
    for number in (2, 1, 3):
        await log(said(number, ts=7))
    assert [m.id for m in await Sessions(any_database).messages("s1")] == ["m2", "m1", "m3"]


async def test_messages_can_precede_their_session(any_database: Database, log: Log) -> None:
    await log(said(1, role="assistant", run="r1", status="stopped"))
    assert await Sessions(any_database).messages("s1") == [
        SessionMessage(
            id="m1", ts=1, role="assistant", user="kim", text="text 1", run="r1", status="stopped"
        )
    ]


async def test_a_clear_takes_what_was_said_until_then_out(any_database: Database, log: Log) -> None:
    sessions = Sessions(any_database)
    await sessions.create(ROW)
    await log(said(1), said(2), said(3))
    await sessions.clear("s1", 2)
    assert [m.id for m in await sessions.messages("s1")] == ["m3"]


async def test_the_message_of_a_run_is_its_reply(any_database: Database, log: Log) -> None:
    sessions = Sessions(any_database)
    await log(said(1, run="r1"), said(2, run="r1", role="assistant"), said(3, role="assistant"))
    reply = await sessions.message_of_run("r1")
    assert reply is not None
    assert reply.id == "m2"
    assert await sessions.message_of_run("r2") is None
    assert await sessions.message_of_run("") is None


async def test_ids_no_database_can_hold_are_merely_unknown(any_database: Database) -> None:
    sessions = Sessions(any_database)
    hostile = "s\x00\ud800'; DROP TABLE session; --"
    assert await sessions.get(hostile) is None
    assert await sessions.messages(hostile) == []
    assert await sessions.message_of_run(hostile) is None


async def test_an_erased_run_leaves_the_conversation(any_database: Database, log: Log) -> None:
    sessions = Sessions(any_database)
    await sessions.create(ROW)
    await log(said(1, run="a"), said(2, run="a", role="assistant"), said(3, run="b"), said(4))
    await sessions.erase("a")
    await sessions.erase("")
    assert [m.id for m in await sessions.messages("s1")] == ["m3", "m4"]
