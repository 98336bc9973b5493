"""`understudy import`: recorded chat into the archive, idempotent."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.terminal import (
    ConfigOption,
    DataOption,
    JsonOption,
    advance,
    print_json,
    progress_bar,
    read_settings,
    run,
)
from understudy.config import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from understudy.sources.recordings import Format
    from understudy.storage.log_writer import LogWriter

SHOWN_BAD_LINES = 20


class Summary(msgspec.Struct):
    """What became of the files: events kept, those known before, and lines that were skipped."""

    read: int = 0
    new: int = 0
    known: int = 0
    skipped: int = 0
    problems: list[str] = []


def import_recordings(
    files: list[Path] = typer.Argument(..., help="Recorded chat."),
    format: str = typer.Option("auto", help="auto, jsonl, twitchdownloader or csv."),
    channel: str = typer.Option("", help="Channel to file it under, instead of the recorded one."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Import recorded chat into the archive. Importing a file twice changes nothing."""
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
    settings: Settings, files: list[Path], format: "Format", channel: str, *, quiet: bool
) -> Summary:
    from understudy.sources.recordings import count_hint
    from understudy.storage.engine import Database
    from understudy.storage.log_writer import LogWriter

    total = sum(count_hint(file) for file in files)
    database = await Database.open(settings.database_url)
    log = LogWriter(database, queue_rows=settings.storage.queue_rows)
    await log.start()
    summary = Summary()
    try:
        with progress_bar("importing", quiet=quiet) as progress:
            for file in files:
                async for done in _import_file(log, file, format, channel, summary):
                    advance(progress, done, total)
        await log.flushed()
        summary.known = log.stats.duplicates
        summary.new = summary.read - summary.known
    finally:
        await log.close()
        await database.close()
    return summary


async def _import_file(
    log: "LogWriter", file: Path, format: "Format", channel: str, summary: Summary
) -> "AsyncIterator[int]":
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
        if summary.read % 1000 == 0:
            yield summary.read
