"""The composition root: what starts is stopped, and what was said is kept."""

import asyncio
from pathlib import Path

import pytest

from tests.serving import settings_for
from understudy.app import Application
from understudy.brains.providers import UnknownProvider
from understudy.config import SettingsError
from understudy.engine.runs import DoneFrame, Run
from understudy.engine.turn import TurnRequest
from understudy.engine.turns import Busy
from understudy.events import ChatMessage
from understudy.server.services import Services
from understudy.sources.rehearsal import RehearsalOptions
from understudy.storage.errors import StorageError


def others() -> set["asyncio.Task[object]"]:
    """The tasks beside the test's own."""
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


def chat(number: int) -> ChatMessage:
    return ChatMessage(id=f"m{number}", channel="c", ts=number, user="ana", text="hello")


async def ask(services: Services, text: str = "tell me a story") -> Run:
    session = await services.sessions.start("ana", "default")
    request = TurnRequest(session=session.id, user="ana", text=text, persona="default")
    return await services.turns.start(request)


async def test_the_rooms_are_there_only_while_it_runs(tmp_path: Path) -> None:
    application = Application(settings_for(tmp_path))
    with pytest.raises(RuntimeError, match="not started"):
        _ = application.services
    before = others()
    async with application:
        services = application.services
        assert await services.ready() == {"database": "ok", "log": "ok"}
        assert services.problems() == []
    with pytest.raises(RuntimeError, match="not started"):
        _ = application.services
    assert others() == before


async def test_a_second_start_on_the_same_data_goes_on(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with Application(settings) as application:
        run = await ask(application.services)
        reply = await run.result()
    async with Application(settings) as application:
        history = await application.services.sessions.history(run.session)
        assert [message.text for message in history] == ["tell me a story", reply.text]


async def test_stopping_ends_replies_and_stores_all_that_was_seen(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, brain__words_per_second=1)
    async with Application(settings) as application:
        services = application.services
        rehearsal = services.rehearsals.create(RehearsalOptions(speed=1.0))
        services.rehearsals.start_sample(rehearsal)
        run = await ask(services)
        for number in range(50):
            await services.bus.publish(chat(number))
        await application.quiesce()
        assert run.log.closed
        _, end = run.log.after(0)[-1]
        assert isinstance(end, DoneFrame)
        assert (end.status, end.message_id) == ("stopped", f"{run.id}_reply")
        assert rehearsal.state == "stopped"
        assert services.channels.names() == []
        assert services.feed.log.closed
        with pytest.raises(Busy, match="stopping"):
            await ask(services)
        await application.quiesce()
    async with Application(settings) as application:
        services = application.services
        assert await services.archive.count("c") == 50
        history = await services.sessions.history(run.session)
        assert history[-1].status == "stopped"


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ({"brain__provider": "skynet"}, UnknownProvider, "skynet"),
        ({"bus__url": "redis://localhost"}, SettingsError, "bus.url"),
        ({"persona__default": "nobody"}, Exception, "nobody"),
        ({"storage__url": "sqlite+aiosqlite:////proc/no/such.db"}, StorageError, "proc"),
    ],
)
async def test_a_failing_start_releases_what_was_started(
    tmp_path: Path, flags: dict[str, str], error: type[Exception], said: str
) -> None:
    before = others()
    with pytest.raises(error, match=said):
        async with Application(settings_for(tmp_path, **flags)):
            pass
    assert others() == before
    async with Application(settings_for(tmp_path)) as application:
        assert (await application.services.ready())["database"] == "ok"


async def test_an_error_in_the_middle_still_stops_everything(tmp_path: Path) -> None:
    before = others()

    async def fail() -> None:
        async with Application(settings_for(tmp_path)) as application:
            await application.services.bus.publish(chat(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert others() == before
    async with Application(settings_for(tmp_path)) as application:
        assert await application.services.archive.count("c") == 1
