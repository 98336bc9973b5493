"""What can go wrong with the database, as sentences for people.

Owns the exception types of the storage room. Each message is one sentence: what is wrong and what
to do about it.
"""


class StorageError(Exception):
    """The database refused; the message is one sentence for people."""


class DatabaseTooNew(StorageError):
    """The database was written by a newer Understudy than this one."""


class LogUnavailable(StorageError):
    """Rows cannot be made durable right now: disk full, read-only, locked or unreachable."""
