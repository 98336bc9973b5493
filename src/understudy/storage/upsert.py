"""INSERTs that meet rows which are already there, and text both databases can store.

Owns what SQLite and PostgreSQL spell alike but SQLAlchemy keeps apart per dialect. Does not own
any table.
"""

import re

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from understudy.storage.engine import Dialect

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def insert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into `table` that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def storable(text: str) -> str:
    """`text` with NUL characters and lone surrogates, which no database takes, as U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)
