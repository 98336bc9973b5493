"""`understudy export`: experiences and messages as JSON lines."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer

from understudy.cli.terminal import (
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    advance,
    print_json,
    progress_bar,
    read_settings,
    run,
)

FORMATS = ("experiences", "messages", "openai")


def export(
    out: Path = typer.Option(..., "--out", help="File to write."),
    format: str = typer.Option("experiences", help=f"{', '.join(FORMATS)}."),
    since: str = typer.Option("", help="Only from this time on (ISO 8601)."),
    channel: str = typer.Option("", help="Only this channel."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Export experiences, redacted, as training data; or the message archive as it stands."""
    if format not in FORMATS:
        raise typer.BadParameter(f"use one of {', '.join(FORMATS)}", param_hint="--format")
    settings = read_settings(config, data)
    start = parse_since(since)

    async def work() -> object:
        from understudy.learning.export import export_experiences
        from understudy.storage.chat_log import ChatArchive
        from understudy.storage.engine import Database

        database = await Database.open(settings.database_url)
        try:
            with progress_bar("exporting", quiet=as_json) as progress:
                return await export_experiences(
                    ChatArchive(database),
                    out,
                    channel=channel or None,
                    since=start,
                    format=format,
                    progress=lambda rows, total: advance(progress, rows, total),
                )
        finally:
            await database.close()

    report = msgspec.to_builtins(run(work()))
    if as_json:
        print_json(report)
        return
    redacted = sum(report["redacted"].values())
    typer.echo(
        f"{report['rows']} rows in {out}, {report['skipped']} skipped, {redacted} places redacted"
    )


def parse_since(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 time (UTC unless it says otherwise); 0 for none.

    Raises `CommandFailed`.
    """
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"--since {text!r} is not a time: write it as 2026-11-21T18:00"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
