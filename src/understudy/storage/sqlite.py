"""How SQLite is opened, and what its errors mean in one sentence.

Owns the pragmas every connection runs under, file modes, and the reading of error codes. Does not
own pools or transactions (`storage.engine`).
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from understudy.storage.errors import LogUnavailable, StorageError

BUSY_TIMEOUT_MS = 5_000
"""How long a connection waits for another process's write lock before it gives up."""

PRAGMAS = f"""
PRAGMA busy_timeout = {BUSY_TIMEOUT_MS};
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -65536;
PRAGMA wal_autocheckpoint = 10000;
"""
"""Run on every connection. `FULL` syncs the log at each commit: with `NORMAL` a power cut loses
acknowledged rows. `secure_delete` overwrites what is erased. The checkpoint threshold of 40 MB
(default 4 MB) keeps checkpoints from stalling a busy writer."""

READ_PRAGMAS = PRAGMAS + "PRAGMA cache_size = -16384;\nPRAGMA query_only = ON;\n"
"""For the read pool: smaller caches, and a write through it is an error."""

_TRANSIENT = {
    sqlite3.SQLITE_BUSY: "the database is locked by another process: stop that process",
    sqlite3.SQLITE_LOCKED: "the database is locked by another connection: try again",
    sqlite3.SQLITE_READONLY: "the database is read-only: make its file and folder writable",
    sqlite3.SQLITE_PERM: "the database may not be accessed: give this user access to its folder",
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened: check its folder and its rights",
    sqlite3.SQLITE_IOERR: "the disk reports an input/output error: check the disk",
    sqlite3.SQLITE_NOMEM: "there is not enough memory for the database: free some",
    sqlite3.SQLITE_INTERRUPT: "the database was interrupted: try again",
    sqlite3.SQLITE_PROTOCOL: "the database's lock cannot be had: stop other processes using it",
}
_BROKEN = {
    sqlite3.SQLITE_CORRUPT: "the database file is damaged: restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a database: move it away or restore it from a backup",
}


def explain(error: BaseException) -> StorageError | None:
    """The error as a sentence; None when it is about the statement or its rows, not the file."""
    if not isinstance(error, sqlite3.Error):
        return None
    # Errors raised by the Python module itself (a closed connection) carry no code.
    code = int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _TRANSIENT:
        return LogUnavailable(_TRANSIENT[code])
    if code in _BROKEN:
        return StorageError(_BROKEN[code])
    return None


def prepare_file(path: Path) -> None:
    """Make the folder (0700) and the file (0600) where they are missing; raises `StorageError`.

    SQLite gives its side files the mode of the database file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise LogUnavailable(
            f"the database {path} cannot be written ({error.strerror}): "
            "choose another folder or give this user access"
        ) from None


def connect(path: Path) -> sqlite3.Connection:
    """A plain connection for writing, in autocommit mode, usable from any one thread at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(PRAGMAS)
    except BaseException:
        connection.close()
        raise
    return connection


def checkpoint(path: Path) -> None:
    """Fold the write-ahead log into the file and truncate it; raises `StorageError`."""
    try:
        with closing(connect(path)) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error as error:
        raise explain(error) or StorageError(f"the checkpoint failed: {error}") from None
    if busy:
        raise LogUnavailable("the database is being read: the checkpoint will be made later")
