"""What the commands share: options, settings, errors, progress bars, JSON for machines.

Whatever takes long to import is imported where it is used, so that every command starts at once.
"""

import asyncio
import io
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import msgspec
import typer

if TYPE_CHECKING:
    from understudy.config import Settings

T = TypeVar("T")
Advance = Callable[[int, int | None], None]
"""Moves a progress bar to (done, total); a total of None is not known yet."""

DEFAULT_URL = "http://127.0.0.1:8000"


class CommandFailed(Exception):
    """The command cannot do what was asked; the message is one sentence."""


def check_url(url: str | None) -> str | None:
    """The address of a server without its last slash; raises `typer.BadParameter`."""
    if url is None:
        return None
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or not rest.strip("/"):
        raise typer.BadParameter(f"{url!r} is no address: write it as {DEFAULT_URL}")
    return url.rstrip("/")


ConfigOption = typer.Option(None, "--config", help="Settings file.", show_default="understudy.toml")
DataOption = typer.Option(None, "--data", help="Data directory.", show_default="understudy-data")
JsonOption = typer.Option(False, "--json", help="Print JSON for machines.")
TokenOption = typer.Option(
    None, "--token", envvar="UNDERSTUDY_TOKEN", help="Bearer token, where the server asks for one."
)


def fail(message: str) -> int:
    """Print the sentence to stderr, on one line, and return the exit code 1."""
    typer.echo(f"understudy: {' '.join(message.split())}", err=True)
    return 1


def forgive(stream: TextIO) -> None:
    """Let characters that `stream` cannot take become question marks instead of errors."""
    if isinstance(stream, io.TextIOWrapper):
        cast("io.TextIOWrapper[Any]", stream).reconfigure(errors="replace")


def read_settings(config: Path | None, data: Path | None, **flags: Any) -> "Settings":
    """The settings with flags applied; `flags` are named `section__key`."""
    from understudy.config import SettingsError, load_settings

    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    try:
        return load_settings(config, flags={"server.data_dir": data, **dotted})
    except SettingsError as error:
        raise CommandFailed(str(error)) from None


LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(work: Coroutine[Any, Any, T], loop_factory: LoopFactory | None = None) -> T:
    """Run `work`; the errors people can do something about become `CommandFailed`."""
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(work)
    except Exception as error:
        if isinstance(error, _expected_errors()):
            raise CommandFailed(str(error)) from None
        raise


def _expected_errors() -> tuple[type[Exception], ...]:
    from understudy.brains.base import BrainError
    from understudy.brains.prices import PricesError
    from understudy.config import SettingsError
    from understudy.engine.personas import PersonaError
    from understudy.learning.atomic_file import ExportError
    from understudy.learning.datasets.errors import DatasetError
    from understudy.learning.training.errors import TrainingError
    from understudy.learning.versions.errors import VersionError
    from understudy.server.auth import AuthError
    from understudy.sources.recordings import RecordingError
    from understudy.storage.errors import StorageError

    return (
        AuthError,
        BrainError,
        DatasetError,
        ExportError,
        PersonaError,
        PricesError,
        RecordingError,
        SettingsError,
        StorageError,
        TrainingError,
        VersionError,
    )


def missing_database(settings: "Settings") -> Path | None:
    """The SQLite file that is not there yet; None when there is one, or none is used.

    Opening a database makes it, which a command that only looks must not do.
    """
    kind, _, place = settings.database_url.partition("///")
    path = Path(place.partition("?")[0])
    return path if kind.startswith("sqlite") and not path.is_file() else None


def need_database(settings: "Settings") -> None:
    """Raise `CommandFailed` when there is no database yet."""
    if path := missing_database(settings):
        raise CommandFailed(f"there is no database at {path}: check --data and --config")


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


@contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Generator[Advance]:
    """A progress bar on stderr, and how to move it; none when it is no terminal or `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
