"""INSERTs that meet rows which are already there, and text both databases can store.

Owns what SQLite and PostgreSQL spell alike but SQLAlchemy keeps apart per dialect. Does not own
any table.
"""

import re
from typing import TYPE_CHECKING

from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from understudy.storage.engine import Dialect

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def insert(dialect: Dialect, table: Table) -> "SqliteInsert | PostgresqlInsert":
    """An INSERT into `table` that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if dialect == "sqlite":
        return SqliteInsert(table)
    # Slow to import, and most installations never need it.
    from sqlalchemy.dialects.postgresql import Insert

    return Insert(table)


def storable(text: str) -> str:
    """`text` with NUL characters and lone surrogates, which no database takes, as U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)
