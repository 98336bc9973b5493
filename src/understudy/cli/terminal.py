"""What the commands share: settings, errors, progress bars, JSON for machines."""

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from understudy.config import Settings, SettingsError, load_settings

T = TypeVar("T")

ConfigOption = typer.Option(None, "--config", help="Settings file.", show_default="understudy.toml")
DataOption = typer.Option(None, "--data", help="Data directory.", show_default="understudy-data")
JsonOption = typer.Option(False, "--json", help="Print JSON for machines.")
UrlOption = typer.Option(
    None, "--url", help="Address of a running server.", show_default="http://127.0.0.1:8000"
)
DEFAULT_URL = "http://127.0.0.1:8000"


class CommandFailed(Exception):
    """The command cannot do what was asked; the message is one sentence."""


def fail(message: str) -> int:
    """Print the sentence to stderr and return the exit code 1."""
    Console(stderr=True, highlight=False).print(f"understudy: {message}", markup=False)
    return 1


def read_settings(config: Path | None, data: Path | None, **flags: Any) -> Settings:
    """The settings with flags applied; `flags` are named `section__key`."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    try:
        return load_settings(config, flags={"server.data_dir": data, **dotted})
    except SettingsError as error:
        raise CommandFailed(str(error)) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; the errors people can do something about become `CommandFailed`."""
    from understudy.brains.base import BrainError
    from understudy.learning.export import ExportError
    from understudy.server.auth import AuthError
    from understudy.sources.recordings import RecordingError
    from understudy.storage.errors import StorageError

    expected = (AuthError, BrainError, ExportError, RecordingError, SettingsError, StorageError)
    try:
        return asyncio.run(work)
    except expected as error:
        raise CommandFailed(str(error)) from None


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


@contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Generator[Progress]:
    """A progress bar on stderr; none when it is no terminal or `quiet`."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    disabled = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=console, disable=disabled, transient=True) as progress:
        progress.add_task(label, total=None)
        yield progress


def advance(progress: Progress, completed: int, total: int | None = None) -> None:
    """Move the one task of a bar."""
    if progress.task_ids:
        progress.update(progress.task_ids[0], completed=completed, total=total)
