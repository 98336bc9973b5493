"""Which schema this program needs, and which one a database has.

Owns the comparison that every opening makes. Kept apart from `storage.migrations` because
importing Alembic takes longer than everything else about opening a database.
"""

from sqlalchemy import Connection, inspect, text

HEAD = "0004"
"""The newest revision in `storage/migrations/versions`."""


def stored_revision(connection: Connection) -> str | None:
    """The revision recorded in the database; None while it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def problem(revision: str | None) -> str | None:
    """What is wrong with a database at `revision`, in one sentence; None when it is current."""
    if revision == HEAD:
        return None
    have = f"at version {revision}" if revision else "empty"
    return f"the database is {have} and this program needs {HEAD}: run understudy db upgrade"
