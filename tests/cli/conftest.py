"""Runs the command in this process, against real servers, databases and terminals."""

import asyncio
import os
import queue
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.fakes.openai_server import OpenAIServer, Reply
from tests.serving import Running, running, settings_for
from understudy.cli.main import app
from understudy.config import ALIASES, ENV_PREFIX, Settings
from understudy.events import ChatMessage
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow, LogRow

Understudy = Callable[..., Result]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, with the data in `data` and a brain that does not pause."""
    for name in os.environ:
        if name.startswith(ENV_PREFIX) or name in ALIASES:
            monkeypatch.delenv(name)
    folder = tmp_path / "workplace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("UNDERSTUDY_SERVER__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UNDERSTUDY_BRAIN__WORDS_PER_SECOND", "0")
    monkeypatch.setenv("UNDERSTUDY_BRAIN__LOCAL_URLS", "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    return folder


@pytest.fixture
def understudy() -> Understudy:
    """Runs `understudy` with the arguments; unexpected errors come through."""

    def invoke(*arguments: object, stdin: str | bytes = "") -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@contextmanager
def served(settings: Settings) -> Iterator[Running]:
    """A server in a thread of its own, so that the command can have the main thread."""
    started: queue.Queue[tuple[Running, Callable[[], object]]] = queue.Queue()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with running(settings) as server:
            started.put((server, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        serving.add_done_callback(lambda _: started.put((None, lambda: None)))  # type: ignore[arg-type]
        server, stop = started.get(timeout=20)
        try:
            if server is None:
                serving.result()
            yield server
        finally:
            stop()
        serving.result(timeout=20)


@contextmanager
def served_model(script: Reply = Reply(), **options: Any) -> Iterator[OpenAIServer]:
    """A fake model server in a thread of its own."""
    started: list[OpenAIServer] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with OpenAIServer(script, **options) as server:
            started.append(server)
            ready.set()
            await asyncio.to_thread(over.wait)

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        assert ready.wait(20)
        try:
            yield started[0]
        finally:
            over.set()
        serving.result(timeout=20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A running server with the defaults, except that the scripted brain does not pause."""
    with served(settings_for(tmp_path / "server")) as server:
        yield server


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Makes stdin a terminal and returns the end a person types at."""
    person, program = os.openpty()
    with os.fdopen(program, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person
        monkeypatch.undo()
    os.close(person)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return once `condition` holds; fails when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


@contextmanager
def interrupted_when(
    condition: Callable[[], bool],
    sign: signal.Signals = signal.SIGINT,
    then: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Sends `sign` to this process, as Ctrl-C at a terminal does, once `condition` holds.

    After that it waits for `then`.
    """
    over = threading.Event()

    def interrupt() -> None:
        wait_until(lambda: over.is_set() or condition())
        if not over.is_set():
            os.kill(os.getpid(), sign)
            wait_until(lambda: over.is_set() or then())

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(interrupt)
        try:
            yield
        finally:
            over.set()
        watching.result()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The database of `settings`."""
    database = await Database.open(settings.database_url)
    try:
        yield database
    finally:
        await database.close()


def store(settings: Settings, *rows: LogRow) -> None:
    """Put rows into the database of `settings`."""

    async def work() -> None:
        async with opened(settings) as database:
            log = LogWriter(database)
            await log.start()
            for row in rows:
                await log.put(row)
            await log.close()

    asyncio.run(work())


def execute(settings: Settings, *statements: str) -> None:
    """Run SQL in the database of `settings`."""

    async def work() -> None:
        async with opened(settings) as database, database.write() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    asyncio.run(work())


def leave_loose_ends(settings: Settings) -> None:
    """A message whose author is not there, as SQLite allows where it is not told to check."""
    store(settings, ChatRow(ChatMessage(id="m", channel="c", ts=1, user="ada", text="hi")))
    with closing(sqlite3.connect(settings.data_dir / "understudy.db")) as connection:
        connection.execute("DELETE FROM viewer")
        connection.commit()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings that the commands run under."""
    return settings_for(tmp_path / "data")


@pytest.fixture
def newer_database(settings: Settings) -> Settings:
    """A database that a later version of the program has written."""
    execute(settings, "UPDATE alembic_version SET version_num = '9999'")
    return settings


def one_line(result: Result) -> str:
    """What went wrong: exactly one line on stderr."""
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("understudy: ")
    return lines[0].removeprefix("understudy: ")


def usage_error(result: Result) -> str:
    """What is wrong with the arguments: exit code 2, and the text without the box around it."""
    assert result.exit_code == 2
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


Json = dict[str, Any]
