"""What the commands about trained versions share: the database, and errors as sentences."""

import getpass
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from understudy.cli.terminal import CommandFailed

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.registry import Registry


@contextmanager
def sentences() -> Generator[None]:
    """Turns what people can do something about into `CommandFailed`."""
    from understudy.learning.training.errors import TrainingError
    from understudy.learning.version_errors import VersionError

    try:
        yield
    except (TrainingError, VersionError) as error:
        raise CommandFailed(str(error)) from None


@asynccontextmanager
async def opened_registry(settings: "Settings") -> "AsyncGenerator[Registry]":
    """The versions of the data directory, with what a crash left behind in order again."""
    from understudy.learning.judging import registry_of
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
