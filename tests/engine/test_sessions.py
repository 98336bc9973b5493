"""Sessions over a real database: the cache never tells less, or something older, than is true."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from understudy.engine import sessions as module
from understudy.engine.sessions import (
    HISTORY_LIMIT,
    SessionEnded,
    SessionManager,
    SessionNotFound,
)
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import SessionMessageRow
from understudy.storage.sessions import SessionMessage, SessionRow, Sessions


class SlowSessions(Sessions):
    """Reads from the database as usual and hands it on when told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.reads = 0
        self.waiting = asyncio.Event()

    async def messages(self, session_id: str, limit: int = 200) -> list[SessionMessage]:
        self.reads += 1
        found = await super().messages(session_id, limit)
        self.waiting.set()
        await self.proceed.wait()
        return found

    async def get(self, session_id: str) -> SessionRow | None:
        self.reads += 1
        found = await super().get(session_id)
        self.waiting.set()
        await self.proceed.wait()
        return found


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}")
    yield database
    await database.close()


@pytest.fixture
def stored(database: Database) -> SlowSessions:
    return SlowSessions(database)


@pytest.fixture
def manager(stored: SlowSessions) -> SessionManager:
    return SessionManager(stored)


def message(number: int) -> SessionMessage:
    return SessionMessage(id=f"m{number}", ts=number, role="user", user="ana", text=f"t{number}")


async def test_a_session_is_started_found_and_ended(manager: SessionManager) -> None:
    row = await manager.start("Ana Maria <b>", "default")
    assert row.id.startswith("session_Ana-Maria-b_")
    assert await manager.get(row.id) == row
    assert await manager.get_or_create(row.id, "x", "y") == row
    await manager.end(row.id)
    assert (await manager.get(row.id)).ended_at is not None
    for use in (manager.get_open(row.id), manager.get_or_create(row.id, "ana", "default")):
        with pytest.raises(SessionEnded, match="start a new one"):
            await use


async def test_names_without_letters_make_a_guest(manager: SessionManager) -> None:
    assert (await manager.start("\u732b!!", "default")).id.startswith("session_guest_")


async def test_unknown_sessions(manager: SessionManager) -> None:
    for use in (manager.get("nobody"), manager.end("nobody")):
        with pytest.raises(SessionNotFound, match="'nobody'"):
            await use
    assert (await manager.get_or_create("nobody", "ana", "default")).user == "ana"


async def test_ending_twice_keeps_the_first_end(manager: SessionManager) -> None:
    row = await manager.start("ana", "default")
    await manager.end(row.id)
    first = (await manager.get(row.id)).ended_at
    await manager.end(row.id)
    assert (await manager.get(row.id)).ended_at == first


async def test_a_restart_finds_the_session_and_its_messages(
    manager: SessionManager, stored: SlowSessions, database: Database
) -> None:
    row = await manager.start("ana", "default")
    log = LogWriter(database)
    await log.start()
    await log.append(
        SessionMessageRow(
            id="m1", session=row.id, ts=1, role="user", user="ana", text="hello", run="r"
        )
    )
    await log.close()
    again = SessionManager(stored)
    assert await again.get_open(row.id) == row
    assert [m.text for m in await again.history(row.id)] == ["hello"]
    await again.clear(row.id)
    assert await again.history(row.id) == []
    assert await SessionManager(stored).history(row.id) == []


async def test_the_history_at_hand_is_bounded_and_the_callers_own(manager: SessionManager) -> None:
    row = await manager.start("ana", "default")
    for number in range(HISTORY_LIMIT + 5):
        manager.remember(row.id, message(number))
    history = await manager.history(row.id)
    assert [m.id for m in history] == [f"m{n}" for n in range(5, HISTORY_LIMIT + 5)]
    history.clear()
    assert len(await manager.history(row.id)) == HISTORY_LIMIT
    manager.remember("unknown", message(1))
    assert await manager.history("unknown") == []


async def test_what_is_said_while_the_history_is_read_twice_is_kept(
    manager: SessionManager, stored: SlowSessions
) -> None:
    stored.proceed.clear()
    stored.waiting.clear()
    readers = [asyncio.create_task(manager.history("s")) for _ in range(2)]
    await stored.waiting.wait()
    stored.proceed.set()
    # The quicker reader remembers at once; the slower one must not overwrite that.
    await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
    manager.remember("s", message(1))
    await asyncio.gather(*readers)
    assert [m.id for m in await manager.history("s")] == ["m1"]


async def test_a_session_that_ends_while_it_is_read_stays_ended(stored: SlowSessions) -> None:
    row = await SessionManager(stored).start("ana", "default")
    manager = SessionManager(stored)
    await manager.get(row.id)
    late = SessionManager(stored)
    stored.proceed.clear()
    stored.waiting.clear()
    reader = asyncio.create_task(late.get(row.id))
    await stored.waiting.wait()
    stored.proceed.set()
    await late.end(row.id)
    await reader
    with pytest.raises(SessionEnded):
        await late.get_open(row.id)


async def test_two_messages_that_create_a_session_share_it(manager: SessionManager) -> None:
    rows = await asyncio.gather(*(manager.get_or_create("s", f"u{n}", "default") for n in range(5)))
    assert len(set(rows)) == 1


async def test_the_cache_is_bounded_and_keeps_what_is_used(
    monkeypatch: pytest.MonkeyPatch, manager: SessionManager, stored: SlowSessions
) -> None:
    monkeypatch.setattr(module, "CACHED_SESSIONS", 3)
    await manager.get_or_create("used", "ana", "default")
    manager.remember("used", message(1))
    for number in range(6):
        await manager.get_or_create(f"s{number}", "ana", "default")
        await manager.get("used")
        assert [m.id for m in await manager.history("used")] == ["m1"]
    before = stored.reads
    await manager.get("s0")
    await manager.history("s0")
    assert stored.reads == before + 2, "the oldest unused one had been let go"


async def test_an_exchange_that_is_forgotten_stays_so_while_its_rows_are_on_their_way(
    manager: SessionManager, stored: SlowSessions, database: Database
) -> None:
    await manager.get_or_create("s", "ana", "default")
    log = LogWriter(database)
    await log.start()
    for number, run in enumerate(["one", "two"]):
        row = SessionMessageRow(
            id=f"m{number}", session="s", ts=number, role="user", user="ana", text="t", run=run
        )
        manager.remember(
            "s",
            SessionMessage(id=f"m{number}", ts=number, role="user", user="ana", text="t", run=run),
        )
        await log.append(row)
    manager.forget("s", "one")
    manager.forget("unknown", "three")
    late = SessionMessage(id="m9", ts=9, role="assistant", user="u", text="t", run="one")
    manager.remember("s", late)
    assert [m.id for m in await manager.history("s")] == ["m1"]
    again = SessionManager(stored)
    again.forget("s", "one")
    assert [m.id for m in await again.history("s")] == ["m1"]
    await manager.erase("one")
    assert [m.id for m in await SessionManager(stored).history("s")] == ["m1"]
    await log.close()


async def test_a_cleared_session_may_use_its_runs_again(manager: SessionManager) -> None:
    await manager.get_or_create("s", "ana", "default")
    manager.forget("s", "one")
    await manager.clear("s")
    manager.remember("s", SessionMessage(id="m", ts=1, role="user", user="a", text="t", run="one"))
    assert [m.id for m in await manager.history("s")] == ["m"]


async def test_only_so_many_runs_stay_forgotten(
    monkeypatch: pytest.MonkeyPatch, manager: SessionManager
) -> None:
    monkeypatch.setattr(module, "FORGOTTEN_RUNS", 1)
    await manager.get_or_create("s", "ana", "default")
    for run in ("one", "two"):
        manager.forget("s", run)
    for run in ("one", "two"):
        manager.remember("s", SessionMessage(id=run, ts=1, role="user", user="a", text="", run=run))
    assert [m.id for m in await manager.history("s")] == ["one"]
