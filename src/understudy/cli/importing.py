"""`understudy import`: recorded chat into the archive, idempotent."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.terminal import (
    ConfigOption,
    DataOption,
    JsonOption,
    print_json,
    progress_bar,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from understudy.config import Settings
    from understudy.sources.recordings import Format
    from understudy.storage.log_writer import LogWriter

SHOWN_BAD_LINES = 20
PROGRESS_ROWS = 1000


class Summary(msgspec.Struct):
    """What became of the files: events kept, those known before, and lines that were skipped."""

    read: int = 0
    new: int = 0
    known: int = 0
    skipped: int = 0
    problems: list[str] = []


def import_recordings(
    files: list[Path] = typer.Argument(..., help="Recorded chat."),
    format: str = typer.Option(
        "auto", help="auto (looks at the content), jsonl, twitchdownloader or csv."
    ),
    channel: str = typer.Option("", help="Channel to file it under, instead of the recorded one."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Import recorded chat into the archive. Importing a file twice changes nothing.

    Example: understudy import 2026-11-*.json --channel pixelharbor
    """
    if format not in ("auto", "jsonl", "twitchdownloader", "csv"):
        raise typer.BadParameter("use auto, jsonl, twitchdownloader or csv", param_hint="--format")
    settings = read_settings(config, data)
    summary = run(_import(settings, files, format, channel, quiet=as_json))
    if as_json:
        print_json(msgspec.to_builtins(summary))
        return
    for problem in summary.problems:
        typer.echo(problem, err=True)
    if summary.skipped > len(summary.problems):
        typer.echo(f"… and {summary.skipped - len(summary.problems)} more", err=True)
    typer.echo(
        f"{summary.read} read: {summary.new} new, {summary.known} known before, "
        f"{summary.skipped} skipped"
    )


async def _import(
    settings: "Settings", files: list[Path], format: "Format", channel: str, *, quiet: bool
) -> Summary:
    from understudy.sources.recordings import count_hint
    from understudy.storage.engine import Database
    from understudy.storage.log_writer import LogWriter

    # Before a database is made: a name typed wrong must leave nothing behind.
    total = sum(count_hint(file) for file in files)
    summary = Summary()
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.database_url)
        stack.push_async_callback(database.close)
        log = LogWriter(database, queue_rows=settings.storage.queue_rows)
        await log.start()
        stack.push_async_callback(log.close)
        advance = stack.enter_context(progress_bar("importing", quiet=quiet))
        for file in files:
            async for done in _import_file(log, file, format, channel, summary):
                advance(done, total)
        await log.flushed()
        summary.known = log.stats.duplicates
        summary.skipped += log.stats.parked
        summary.new = summary.read - summary.known - log.stats.parked
    return summary


async def _import_file(
    log: "LogWriter", file: Path, format: "Format", channel: str, summary: Summary
) -> "AsyncIterator[int]":
    """Queue what `file` holds and count it; yields now and then how many events were read."""
    from understudy.engine.archive import row_of
    from understudy.sources.recordings import BadLine, read_recording

    for item in read_recording(file, format=format, channel=channel):
        if isinstance(item, BadLine):
            summary.skipped += 1
            if len(summary.problems) < SHOWN_BAD_LINES:
                summary.problems.append(f"{file.name}:{item.number}: {item.reason}")
            continue
        await log.put(row_of(item))
        summary.read += 1
        if summary.read % PROGRESS_ROWS == 0:
            yield summary.read
