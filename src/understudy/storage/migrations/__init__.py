"""Brings a database's schema up to date with Alembic, without an `alembic.ini`.

Owns running the scripts in `versions/`. They live inside the package, so an installed wheel
migrates like a checkout. Logging is left as it is.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from understudy.storage.errors import DatabaseTooNew

_UPGRADE_LOCK = 0x756E6465  # any constant: processes that start together migrate one at a time


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration; `env.py` migrates over `connection`."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def refuse_unknown(revision: str | None) -> None:
    """Raise `DatabaseTooNew` when this program has no migration called `revision`."""
    if revision is None:
        return
    try:
        ScriptDirectory.from_config(config()).get_revision(revision)
    except (CommandError, ResolutionError):
        raise DatabaseTooNew(
            f"the database is at version {revision}, which this Understudy does not know: "
            "install a newer Understudy or restore a backup"
        ) from None


def upgrade(connection: Connection) -> None:
    """Run what is missing inside the open transaction: all of it takes effect, or nothing."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
    command.upgrade(config(connection), "head")
