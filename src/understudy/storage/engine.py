"""The database: connections, transactions, and a schema that is up to date when it opens.

Owns the engine for SQLite (embedded, the default) and PostgreSQL (at scale). Does not own what is
read or written: tables are in `storage.tables`, statements in the repositories and the log writer.

SQLite has many readers and one writer: reads come from a small pool of read-only connections,
writes take turns on one connection behind a lock, so that writers of this process wait in an
orderly queue instead of spinning on the file lock.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from understudy.storage import schema_version as schema
from understudy.storage import sqlite
from understudy.storage.errors import LogUnavailable, StorageError

Dialect = Literal["sqlite", "postgresql"]

_DRIVERS: dict[str, Dialect] = {"sqlite+aiosqlite": "sqlite", "postgresql+asyncpg": "postgresql"}
_READERS = 4
_UNAVAILABLE_SQLSTATES = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")
"""PostgreSQL errors about the server, not the statement: connection, read-only, login, unknown
database, deadlock, resources, lock timeout, operator, system."""


class Database:
    """An open database. Make it with `Database.open`, end it with `close`."""

    def __init__(self, url: URL) -> None:
        """Use `open`, which also checks the file and the schema."""
        self.dialect: Dialect = _dialect(url)
        self._url = url
        self._write_lock = asyncio.Lock()
        if self.dialect == "sqlite":
            self._reader = _sqlite_engine(url, sqlite.READ_PRAGMAS, "BEGIN", _READERS)
            self._writer = _sqlite_engine(url, sqlite.PRAGMAS, "BEGIN IMMEDIATE", 1)
        else:
            self._reader = self._writer = create_async_engine(
                url, pool_size=_READERS + 2, pool_pre_ping=True
            )

    @classmethod
    async def open(cls, url: str, *, migrate: bool = True) -> "Database":
        """Open the database at `url`, making it and bringing its schema up to date if need be.

        Raises `DatabaseTooNew` when a newer Understudy wrote it, `LogUnavailable` when it cannot
        be reached or written, and `StorageError` when it is damaged or, with `migrate=False`, out
        of date.
        """
        database = cls(_parse(url))
        try:
            if database.path is not None:
                await asyncio.to_thread(sqlite.prepare_file, database.path)
            await database._check_schema(migrate)
        except BaseException:
            await database._dispose()
            raise
        return database

    @property
    def url(self) -> str:
        """The URL, with any password hidden."""
        return self._url.render_as_string(hide_password=True)

    @property
    def path(self) -> Path | None:
        """The database file; None for PostgreSQL."""
        return Path(self._url.database or "") if self.dialect == "sqlite" else None

    def exclusive(self) -> AbstractAsyncContextManager[Any]:
        """This process's turn to write: a lock on SQLite, nothing on PostgreSQL."""
        return self._write_lock if self.dialect == "sqlite" else nullcontext()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection inside a transaction that only reads: one consistent snapshot on SQLite.

        Raises `LogUnavailable` or `StorageError` when the database itself is the trouble; errors
        of a statement come through as SQLAlchemy raises them.
        """
        async with _transaction(self._reader) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A connection inside a transaction that commits at the end and rolls back on an error.

        Durable once left. Writers of this process take turns on SQLite; another process is waited
        for up to 5 s. Raises as `read` does.
        """
        async with self.exclusive(), _transaction(self._writer) as connection:
            yield connection

    async def schema_version(self) -> str | None:
        """The schema revision stored in the database; None while it is empty."""
        async with self.read() as connection:
            return await connection.run_sync(schema.stored_revision)

    async def check(self) -> list[str]:
        """Look for damage and an outdated schema; one sentence per problem, empty when well."""
        problems = [p for p in [schema.problem(await self.schema_version())] if p]
        if self.dialect == "sqlite":
            async with self.read() as connection:
                damage = (await connection.execute(text("PRAGMA quick_check(20)"))).scalars().all()
                orphans = (await connection.execute(text("PRAGMA foreign_key_check"))).all()
            problems += [f"the file is damaged: {line}" for line in damage if line != "ok"]
            problems += [f"row {row[1]} of {row[0]} points at nothing" for row in orphans[:20]]
        return problems

    async def checkpoint(self) -> None:
        """Fold SQLite's write-ahead log into the file and truncate it, as an erasure must.

        Raises `LogUnavailable` when readers keep it from happening.
        """
        if self.path is None:
            return
        async with self.exclusive():
            await asyncio.to_thread(sqlite.checkpoint, self.path)

    async def close(self) -> None:
        """Close all connections; SQLite's write-ahead log is folded into the file."""
        try:
            await self.checkpoint()
        except StorageError:
            # What is committed is safe in the write-ahead log; the next opening folds it in.
            pass
        finally:
            await self._dispose()

    async def _dispose(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()

    async def _check_schema(self, migrate: bool) -> None:
        stored = await self.schema_version()
        if stored == schema.HEAD:
            return
        # Slow to import, and not needed by a database that is up to date.
        from understudy.storage import migrations

        migrations.refuse_unknown(stored)
        if not migrate:
            raise StorageError(schema.problem(stored) or "")
        async with self.write() as connection:
            await connection.run_sync(migrations.upgrade)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StorageError(
            "storage.url is not a database URL: write sqlite+aiosqlite:///… or "
            "postgresql+asyncpg://…"
        ) from None
    if _dialect(parsed) == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise StorageError("storage.url names no file: write sqlite+aiosqlite:///path/to/file.db")
    return parsed


def _dialect(url: URL) -> Dialect:
    if url.drivername not in _DRIVERS:
        raise StorageError(
            f"storage.url cannot start with {url.drivername}: use sqlite+aiosqlite:///… or "
            "postgresql+asyncpg://…"
        )
    return _DRIVERS[url.drivername]


def _sqlite_engine(url: URL, pragmas: str, begin: str, size: int) -> AsyncEngine:
    """An engine whose transactions start with `begin` and not when the driver thinks they do."""
    engine = create_async_engine(
        url, pool_size=size, max_overflow=0, connect_args={"isolation_level": None}
    )

    def configure(connection: Any, _record: object) -> None:
        async def run_script(driver: Any) -> None:
            await driver.executescript(pragmas)

        connection.run_async(run_script)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", configure)
    event.listen(engine.sync_engine, "begin", start)
    return engine


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    connected = False
    try:
        async with engine.begin() as connection:
            connected = True
            yield connection
    except Exception as error:
        # Once connected, other errors are the caller's own.
        ours = not connected or isinstance(error, DBAPIError)
        known = explain(error) if ours else None
        if known is None:
            raise
        raise known from error


def explain(error: BaseException) -> StorageError | None:
    """The error as a sentence; None when it is about a statement or its rows."""
    if isinstance(error, StorageError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    sqlstate = getattr(cause, "sqlstate", None) or ""
    if lost or sqlstate.startswith(_UNAVAILABLE_SQLSTATES):
        return LogUnavailable(f"PostgreSQL is not available: {str(cause).splitlines()[-1]}")
    if isinstance(cause, OSError | PoolTimeout):
        return LogUnavailable(f"the database cannot be reached: {cause}")
    return sqlite.explain(cause)
