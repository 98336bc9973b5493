"""Alembic's entry: runs migrations over the connection that `storage.migrations` hands in."""

from typing import Any

from alembic import context

from understudy.storage.tables import metadata


def include_object(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Leave the full-text tables and index out of comparisons: the metadata does not hold them."""
    return not (reflected and (name or "").startswith("experience_fts"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=include_object,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
