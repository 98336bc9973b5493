"""`understudy export`: experiences, messages, their labels and preferences as JSON lines."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.terminal import (
    Advance,
    ConfigOption,
    DataOption,
    JsonOption,
    need_database,
    print_json,
    progress_bar,
    read_settings,
    run,
)

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.exports.experiences import ExportReport
    from understudy.storage.engine import Database
    from understudy.storage.mongo_labels import LabelledMessage

FORMATS = ("experiences", "messages", "openai", "classification", "kto", "pairs", "tensorzero")


class _Wish(msgspec.Struct, frozen=True):
    """What to export."""

    out: Path
    format: str
    channel: str | None
    since: int
    redacted: bool
    quiet: bool


def parse_since(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 time (UTC unless it says otherwise); 0 for none.

    Raises `typer.BadParameter`.
    """
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time: write it as 2026-11-21T18:00", param_hint="--since"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def must_redact(format: str, wanted: bool | None) -> bool:
    """Whether `format` is redacted: training data always is. Raises `typer.BadParameter`."""
    if format == "messages":
        return bool(wanted)
    if wanted is False:
        raise typer.BadParameter(f"{format} is always redacted", param_hint="--no-redact")
    return True


def export(
    out: Path = typer.Option(..., "--out", help="File to write, whole or not at all."),
    format: str = typer.Option("experiences", help=f"{', '.join(FORMATS)}."),
    since: str = typer.Option("", help="Only from this time on (ISO 8601, UTC by default)."),
    channel: str = typer.Option("", help="Only this channel."),
    redact: bool = typer.Option(
        None,
        "--redact/--no-redact",
        help="Take out names and personal data; what is trained on always is redacted.",
        show_default="only training data",
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Export experiences as training data, redacted; or the message archive as it stands.

    Example: understudy export --out chat.jsonl --format openai --since 2026-01-01
    """
    if format not in FORMATS:
        raise typer.BadParameter(f"use one of {', '.join(FORMATS)}", param_hint="--format")
    redacted = must_redact(format, redact)
    start = parse_since(since)
    settings = read_settings(config, data)
    need_database(settings)

    wish = _Wish(out, format, channel or None, start, redacted, quiet=as_json)
    report = run(_export(settings, wish))
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(msgspec.to_builtins(report))
        return
    places = f"{sum(report.redacted.values())} places redacted" if redacted else "not redacted"
    typer.echo(f"{report.rows} rows in {out}, {report.skipped} skipped, {places}")


async def _export(settings: "Settings", wish: _Wish) -> "ExportReport":
    from understudy.storage.engine import Database

    keep = [settings.persona.name, *settings.persona.aliases]
    # Before the database: MongoDB may be away.
    labels = await _labels(settings, wish.channel) if wish.format == "classification" else {}
    database = await Database.open(settings.database_url)
    try:
        with progress_bar("exporting", quiet=wish.quiet) as advance:
            if wish.format == "classification":
                return await _write_labels(database, wish, labels, keep, advance)
            return await _write(database, wish, keep, advance)
    finally:
        await database.close()


async def _write(
    database: "Database", wish: _Wish, keep: list[str], progress: Advance
) -> "ExportReport":
    from understudy.learning.exports.experiences import ExportFormat, export_experiences
    from understudy.learning.exports.preferences import PreferenceFormat, export_preferences
    from understudy.storage.chat_log import ChatArchive

    if wish.format in {"kto", "pairs"}:
        return await export_preferences(
            database,
            wish.out,
            format=msgspec.convert(wish.format, PreferenceFormat),
            channel=wish.channel,
            since=wish.since,
            keep=keep,
            progress=progress,
        )
    return await export_experiences(
        ChatArchive(database),
        wish.out,
        channel=wish.channel,
        since=wish.since,
        format=msgspec.convert(wish.format, ExportFormat),
        redact=wish.redacted,
        keep=keep,
        progress=progress,
    )


async def _write_labels(
    database: "Database",
    wish: _Wish,
    labels: "dict[str, LabelledMessage]",
    keep: list[str],
    progress: Advance,
) -> "ExportReport":
    from understudy.learning.exports.classification import export_classification
    from understudy.storage.chat_log import ChatArchive

    return await export_classification(
        ChatArchive(database),
        wish.out,
        labels,
        channel=wish.channel,
        since=wish.since,
        keep=keep,
        progress=progress,
    )


async def _labels(settings: "Settings", channel: str | None) -> "dict[str, LabelledMessage]":
    """The labels that people gave in MongoDB, where there is one."""
    from understudy.storage.mongo_labels import MongoLabels

    url = settings.mongo.url.get_secret_value()
    if not url:
        return {}
    mongo = MongoLabels(url)
    try:
        return await mongo.by_document(channel)
    finally:
        await mongo.close()
