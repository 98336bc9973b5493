"""`understudy dataset`: training data out of what was logged, to be looked at and trained on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.export import parse_since
from understudy.cli.terminal import (
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
    from understudy.learning.datasets.store import Datasets, Manifest
    from understudy.storage.versions import ModelVersion

app = typer.Typer(help="Build, look at and reject training data.", no_args_is_help=True)
DatasetArgument = typer.Argument(..., metavar="ID", help="A dataset's id, see list.")


@app.command("build")
def build(
    channel: str = typer.Option("", help="Only this channel."),
    persona: str = typer.Option("", help="Only this persona."),
    since: str = typer.Option("", help="New rows from this time on (ISO 8601, UTC by default)."),
    replay: float = typer.Option(0.25, min=0, max=0.9, help="Share of older rows, 0 to 0.9."),
    seed: int = typer.Option(0, help="Makes another draw of older rows."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Build a dataset of what is new, with some of what was learned before.

    Example: understudy dataset build --channel pixelharbor
    """
    start = parse_since(since)
    settings = read_settings(config, data)
    need_database(settings)

    async def work() -> "Manifest":
        from understudy.learning.datasets.builder import DatasetBuilder, DatasetRequest
        from understudy.learning.datasets.curate import CurationRules
        from understudy.storage.engine import Database

        rules = CurationRules(
            bots=tuple(settings.director.bots),
            cohost=(settings.persona.name, *settings.persona.aliases),
            command_prefix=settings.director.command_prefix,
            blocked_words=tuple(settings.safety.blocked_words),
        )
        request = DatasetRequest(
            channel=channel, persona=persona, since=start, replay=replay, seed=seed
        )
        own_anchors = settings.data_dir / "learning" / "anchors.jsonl"
        database = await Database.open(settings.database_url)
        try:
            builder = DatasetBuilder(database, _datasets(settings), rules, own_anchors)
            with progress_bar("building", quiet=as_json) as advance:
                return await builder.build(request, advance)
        finally:
            await database.close()

    manifest = run(work())
    if as_json:
        print_json(msgspec.to_builtins(manifest))
    else:
        _print(manifest)


@app.command("list")
def list_all(
    data: Path = DataOption, config: Path = ConfigOption, as_json: bool = JsonOption
) -> None:
    """List the datasets, oldest first.

    Example: understudy dataset list
    """
    settings = read_settings(config, data)

    async def work() -> "list[Manifest]":
        return _datasets(settings).manifests()

    manifests = run(work())
    if as_json:
        print_json(msgspec.to_builtins(manifests))
        return
    for manifest in manifests:
        rows = manifest.rows
        scope = " ".join(filter(None, (manifest.channel or "all channels", manifest.persona)))
        typer.echo(
            f"{manifest.id}  {manifest.counts.get('train.jsonl', 0):>7} to train on "
            f"({rows.new} new, {rows.old} old)  {scope}"
        )


@app.command("show")
def show(
    dataset: str = DatasetArgument,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Show what a dataset holds and what was left out, and prove that it is unchanged.

    Example: understudy dataset show 20261121-180000-000
    """
    settings = read_settings(config, data)

    async def work() -> "Manifest":
        return _datasets(settings).load(dataset)

    manifest = run(work())
    if as_json:
        print_json(msgspec.to_builtins(manifest))
    else:
        _print(manifest)


@app.command("reject")
def reject(
    dataset: str = DatasetArgument,
    reason: str = typer.Option("", help="Why, for the record."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Never again learn from what was new in a dataset.

    Example: understudy dataset reject 20261121-180000-000 --reason "a raid voted on it"
    """
    settings = read_settings(config, data)
    need_database(settings)

    async def work() -> "tuple[int, list[ModelVersion]]":
        from understudy.learning.datasets.trust import reject_dataset
        from understudy.storage.engine import Database
        from understudy.storage.examples import Examples
        from understudy.storage.versions import ModelVersions

        database = await Database.open(settings.database_url)
        try:
            count = await reject_dataset(_datasets(settings), Examples(database), dataset, reason)
            known = await ModelVersions(database).list()
            return count, [version for version in known if version.dataset == dataset]
        finally:
            await database.close()

    count, versions = run(work())
    if as_json:
        print_json({"rejected": count, "versions": [version.id for version in versions]})
        return
    typer.echo(f"{count} exchanges of dataset {dataset} are rejected")
    for version in versions:
        if version.state in {"canary", "live"}:
            channel = f" --channel {version.channel}" if version.channel else ""
            typer.echo(
                f"warning: {version.id}, which was trained on it, is {version.state}: take it back "
                f"with understudy models rollback{channel}",
                err=True,
            )


def _datasets(settings: "Settings") -> "Datasets":
    from understudy.learning.datasets.store import Datasets

    return Datasets(settings.data_dir / "learning" / "datasets")


def _print(manifest: "Manifest") -> None:
    made = datetime.fromtimestamp(manifest.created / 1000, UTC)
    typer.echo(f"dataset {manifest.id}, built {made:%Y-%m-%d %H:%M} UTC")
    typer.echo(f"  {manifest.looked_at} experiences looked at")
    for name, count in manifest.counts.items():
        typer.echo(f"  {name:<14}{count:>8} rows")
    rows = manifest.rows
    typer.echo(f"  to train on: {rows.new} new, {rows.old} old, {rows.anchor} hand-written")
    for reason, count in manifest.report.items():
        typer.echo(f"  left out: {count} {reason}")
    for warning in manifest.warnings:
        typer.echo(f"warning: {warning}", err=True)
