"""The archive over a real log: nothing seen is forgotten, and trouble holds chat back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from understudy.bus import Bus
from understudy.engine import archive as module
from understudy.engine.archive import Archive, row_of
from understudy.events import ChatMessage, Decision, Moderation, StreamEvent, TurnStarted
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.errors import LogUnavailable
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow, DecisionRow, LogRow, ModerationRow, StreamEventRow

CHAT = ChatMessage(id="m1", channel="c", ts=1, user="ana", text="hello")
RAID = StreamEvent(id="e1", channel="c", ts=2, kind="raid", user="cap")
DELETE = Moderation(id="x1", channel="c", ts=3, kind="delete", message_id="m1")
DECISION = Decision(
    id="d1",
    channel="c",
    ts=4,
    message_id="m1",
    message_ts=1,
    user="ana",
    action="skipped",
    reason="not_addressed",
)


class StubbornLog(LogWriter):
    """The real log, behind a disk that refuses or hangs when a test says so."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.refusals = 0
        self.refused = asyncio.Event()
        self.hanging = False

    async def put(self, row: LogRow) -> None:
        if self.hanging:
            self.refused.set()
            await asyncio.Event().wait()
        if self.refusals:
            self.refusals -= 1
            self.refused.set()
            raise LogUnavailable("the disk is full")
        await super().put(row)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'archive.db'}")
    yield database
    await database.close()


@pytest.fixture
async def log(database: Database) -> AsyncIterator[StubbornLog]:
    log = StubbornLog(database)
    await log.start()
    yield log
    await log.close()


async def texts(database: Database) -> list[str]:
    stored = await ChatArchive(database).messages("c", None, 100)
    return [archived.message.text for archived in stored]


def test_each_kind_has_its_row() -> None:
    assert row_of(CHAT) == ChatRow(CHAT)
    assert row_of(RAID) == StreamEventRow(RAID)
    assert row_of(DELETE) == ModerationRow(DELETE)
    assert row_of(DECISION) == DecisionRow(DECISION, 1)
    started = TurnStarted(
        id="t", channel="c", ts=1, turn="t", session="s", persona="p", model="m", user="u", text=""
    )
    with pytest.raises(TypeError, match="TurnStarted"):
        row_of(started)


async def test_what_is_published_before_the_close_is_stored(
    database: Database, log: StubbornLog
) -> None:
    bus = Bus()
    archive = Archive(bus, log)
    await bus.publish(CHAT)
    archive.start()
    for event in (RAID, DECISION, DELETE):
        await bus.publish(event)
    await archive.close()
    assert bus.subscriptions == ()
    await log.flushed()
    assert log.stats.committed == 4
    (stored,) = await ChatArchive(database).messages("c", None, 100)
    assert stored.message.text == "hello"
    assert stored.decision is not None
    assert stored.decision.reason == "not_addressed"
    assert stored.deleted


async def test_a_full_disk_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, database: Database, log: StubbornLog
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    log.refusals = 3
    bus = Bus()
    archive = Archive(bus, log)
    archive.start()
    await bus.publish(CHAT)
    await bus.drained()
    await archive.close()
    await log.flushed()
    assert await texts(database) == ["hello"]


@pytest.mark.parametrize("hanging", [False, True])
async def test_a_close_does_not_wait_for_the_disk_for_ever(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    log: StubbornLog,
    hanging: bool,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.5)
    log.refusals, log.hanging = 10**9, hanging
    bus = Bus()
    archive = Archive(bus, log)
    archive.start()
    await bus.publish(CHAT)
    await log.refused.wait()
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(5):
            await archive.close()
    log.refusals, log.hanging = 0, False
    assert "lost" in caplog.text
    assert "hello" not in caplog.text, "what viewers wrote stays out of the log file"


async def test_an_archive_that_never_started_closes(log: StubbornLog) -> None:
    await Archive(Bus(), log).close()
