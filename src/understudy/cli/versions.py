"""What the commands about trained versions share: the registry, and who runs them."""

import getpass
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.versions.registry import Registry


@asynccontextmanager
async def opened_registry(settings: "Settings") -> "AsyncGenerator[Registry]":
    """The versions of the data directory, with what a crash left behind in order again."""
    from understudy.learning.evaluation.judging import registry_of
    from understudy.storage.engine import Database

    database = await Database.open(settings.database_url)
    try:
        registry = registry_of(settings, database)
        await registry.sweep()
        yield registry
    finally:
        await database.close()


def person() -> str:
    """Who runs the command, for the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "command line"
