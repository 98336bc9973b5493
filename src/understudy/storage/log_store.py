"""Runs the log's statements, one transaction per batch.

Owns the connection the log writes through. Does not own what is written (`storage.log_sql`) or
when (`storage.log_writer`).
"""

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from understudy.storage import sqlite
from understudy.storage.engine import Database
from understudy.storage.log_sql import Step


class LogStore(Protocol):
    """Where batches go."""

    async def write(self, steps: Sequence[Step]) -> int:
        """Run `steps` in one transaction, durably; the number of log rows stored or changed."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


def open_store(database: Database) -> LogStore:
    """The store for the database's kind."""
    if database.path is None:
        return PostgresqlStore(database)
    return SqliteStore(database, database.path)


class SqliteStore:
    """A connection of its own on a thread of its own.

    A batch is one visit to that thread. Going statement by statement through the event loop would
    wait for its next turn a dozen times per batch, and a busy loop takes its time.

    While it is open, threads that wait for the interpreter ask for it after 0.1 ms instead of 5:
    an event loop without a pause lets go of the interpreter only for a microsecond at a time, too
    short for another thread to wake, so that with the default a commit could take seconds.
    """

    _SWITCH_INTERVAL_S = 1e-4

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-store")
        self._connection: sqlite3.Connection | None = None
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_interval, self._SWITCH_INTERVAL_S))

    async def write(self, steps: Sequence[Step]) -> int:
        """Run `steps` in one transaction; raises `sqlite3.Error`."""
        async with self._database.exclusive():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._write, steps)

    async def close(self) -> None:
        """Wait for the transaction under way, at most the busy timeout, and close."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown()
        sys.setswitchinterval(self._switch_interval)

    def _write(self, steps: Sequence[Step]) -> int:
        if self._connection is None:
            self._connection = sqlite.connect(self._path)
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            counts = [connection.execute(step.sql, step.parameters).rowcount for step in steps]
            connection.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return sum(count for count, step in zip(counts, steps, strict=True) if step.counts)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class PostgresqlStore:
    """A connection of the database's pool, taken for each batch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, steps: Sequence[Step]) -> int:
        """Run `steps` in one transaction; raises as `Database.write` does."""
        stored = 0
        async with self._database.write() as connection:
            for step in steps:
                result = await connection.exec_driver_sql(step.sql, tuple(step.parameters))
                stored += result.rowcount if step.counts else 0
        return stored

    async def close(self) -> None:
        """Nothing to do: the pool is the database's."""
