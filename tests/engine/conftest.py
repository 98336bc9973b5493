"""A real engine over a real database, with a brain that speaks when it is told to."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stepped_brain import SteppedBrain
from understudy.brains.router import Router
from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.personas import Personas
from understudy.engine.reply import ReplyStream
from understudy.engine.sessions import SessionManager
from understudy.engine.turns import Turns
from understudy.events import Event
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.sessions import Sessions


@dataclass
class Engine:
    """The parts a test looks at."""

    turns: Turns
    brain: SteppedBrain
    sessions: SessionManager
    stored: Sessions
    experiences: Experiences
    log: LogWriter
    bus: Bus
    published: list[Event]
    settings: Settings


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    settings = Settings()
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'engine.db'}")
    log = LogWriter(database)
    await log.start()
    bus = Bus()
    brain = SteppedBrain()
    stored = Sessions(database)
    sessions = SessionManager(stored)
    published: list[Event] = []

    async def publish(event: Event) -> None:
        published.append(event)
        await bus.publish(event)

    turns = Turns(
        settings,
        Router(brain, why="a test chose it"),
        sessions,
        Personas(None),
        log,
        publish,
        reply_stream=lambda emotions: ReplyStream(None, emotions),
    )
    yield Engine(
        turns, brain, sessions, stored, Experiences(database), log, bus, published, settings
    )
    await turns.close()
    await log.close()
    await database.close()
