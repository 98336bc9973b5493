"""`understudy models`: trained versions, and which of them answers."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import typer

from understudy.cli.terminal import (
    CommandFailed,
    ConfigOption,
    DataOption,
    JsonOption,
    need_database,
    print_json,
    read_settings,
    run,
)
from understudy.cli.versions import opened_registry, person
from understudy.events import format_ts

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.versions.deploying import Deploying, Override
    from understudy.learning.versions.registry import Registry
    from understudy.storage.versions import Deployment, Evaluation, ModelVersion

T = TypeVar("T")
FORMATS = ("peft", "merged", "gguf")

app = typer.Typer(
    help="Trained versions: look at them, deploy them, take them back.", no_args_is_help=True
)
VersionArgument = typer.Argument(..., help="The version, such as all@3.")
ReasonOption = typer.Option("", help="Why, for the record.")
ByOption = typer.Option("", help="Who decides it.", show_default="you")
OverrideOption = typer.Option(
    False, "--override", help="Although a gate failed; needs --by and --reason."
)


@app.command("list")
def list_versions(
    channel: str = typer.Option("", help="Only versions of this channel."),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """List the versions, oldest first."""
    settings = _settings(config, data)

    async def work(registry: "Registry") -> "list[ModelVersion]":
        return list(await registry.versions.list(channel or None))

    versions = _with_registry(settings, work)
    if as_json:
        print_json([msgspec.to_builtins(version) for version in versions])
        return
    if not versions:
        typer.echo("there are no versions yet: train one and register its run")
    for version in versions:
        why = f"  {version.reason}" if version.reason else ""
        typer.echo(f"{version.id:<16} {version.state:<10} {format_ts(version.created)}{why}")


@app.command("show")
def show(
    version: str = VersionArgument,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Show a version, what the gates said of it, and when it was deployed."""
    settings = _settings(config, data)

    async def work(
        registry: "Registry",
    ) -> "tuple[ModelVersion, list[Evaluation], list[Deployment]]":
        found = await registry.get(version)
        said = await registry.versions.newest_evaluation(version)
        history = await registry.versions.deployments(found.channel)
        mine = [row for row in history if version in {row.version, row.before}]
        return found, list(said), mine

    found, said, history = _with_registry(settings, work)
    if as_json:
        print_json(
            {
                **msgspec.to_builtins(found),
                "evaluation": msgspec.to_builtins(said),
                "deployments": msgspec.to_builtins(history),
            }
        )
        return
    typer.echo(f"{found.id}: {found.state}{f' ({found.reason})' if found.reason else ''}")
    typer.echo(f"  of {found.base}, from dataset {found.dataset or '-'} in run {found.run or '-'}")
    if found.parent:
        typer.echo(f"  trained on from {found.parent}")
    for row in said:
        typer.echo(f"  {row.gate} {'passed' if row.passed else 'failed'}: {row.sentence}")
    for row in history:
        typer.echo(f"  {format_ts(row.ts)} {_told(row)}")


@app.command("register")
def register(
    run_folder: Path = typer.Argument(..., metavar="RUN", help="Folder of a finished run."),
    channel: str = typer.Option("", help="Channel it is for.", show_default="all"),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Make a version of what `understudy train` wrote into the folder RUN.

    Example: understudy models register runs/first
    """
    settings = _settings(config, data)

    async def work(registry: "Registry") -> "ModelVersion":
        return await registry.register(run_folder, channel=channel)

    version = _with_registry(settings, work)
    if as_json:
        print_json(msgspec.to_builtins(version))
    else:
        typer.echo(f"{version.id} is registered: understudy evaluate {version.id}")


@app.command("promote")
def promote(
    version: str = VersionArgument,
    reason: str = ReasonOption,
    by: str = ByOption,
    override: bool = OverrideOption,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Let a version that passed the gates answer everybody in its channel.

    A server that runs takes it up within a second.
    """
    settings = _settings(config, data)
    decision = _override(override, by, reason)

    async def work(deploying: "Deploying") -> "Deployment":
        actor = by or person()
        return await deploying.promote(version, actor=actor, reason=reason, override=decision)

    _deploy(settings, work, as_json)


@app.command("canary")
def canary(
    version: str = VersionArgument,
    share: float = typer.Option(0.1, help="Share of those who ask, above 0 and below 1."),
    reason: str = ReasonOption,
    by: str = ByOption,
    override: bool = OverrideOption,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Try a version that passed the gates out on some of those who ask."""
    settings = _settings(config, data)
    decision = _override(override, by, reason)

    async def work(deploying: "Deploying") -> "Deployment":
        return await deploying.canary(
            version, actor=by or person(), share=share, reason=reason, override=decision
        )

    _deploy(settings, work, as_json)


@app.command("rollback")
def rollback(
    channel: str = typer.Option("", help="Channel.", show_default="all"),
    reason: str = ReasonOption,
    by: str = ByOption,
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """End the canary of a channel, or go back to the version before the live one."""
    settings = _settings(config, data)

    async def work(deploying: "Deploying") -> "Deployment":
        return await deploying.roll_back(
            channel, actor=by or person(), reason=reason or "taken back by hand"
        )

    _deploy(settings, work, as_json)


@app.command("export")
def export(
    version: str = VersionArgument,
    out: Path = typer.Option(..., "--out", help="Folder to make; a file for gguf."),
    format: str = typer.Option(
        "peft", help="peft (the adapter), merged (a whole model), gguf (for llama.cpp)."
    ),
    base: str = typer.Option(
        "", help="Model it is of: a folder or an id.", show_default="the local model"
    ),
    llama_cpp: Path = typer.Option(
        None, "--llama-cpp", help="A checkout of llama.cpp, whose converter makes gguf."
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Write a version to where other programs can use it.

    Example: understudy models export all@3 --out my-model --format merged
    """
    if format not in FORMATS:
        raise typer.BadParameter(f"use one of {', '.join(FORMATS)}", param_hint="--format")
    if format == "gguf" and not llama_cpp:
        raise typer.BadParameter(
            "gguf is made by llama.cpp: name a checkout of it", param_hint="--llama-cpp"
        )
    settings = _settings(config, data)

    async def work(registry: "Registry") -> Path:
        from understudy.learning.evaluation.judging import local_model
        from understudy.learning.versions.export import export_adapter, export_gguf, export_merged

        found = await registry.get(version)
        model = base or local_model(settings)
        if format == "peft":
            return await export_adapter(registry, found, out)
        if format == "merged":
            return await export_merged(registry, found, model, out)
        return await export_gguf(registry, found, model, out, llama_cpp)

    made = _with_registry(settings, work)
    if as_json:
        print_json({"version": version, "format": format, "path": str(made)})
    else:
        typer.echo(f"{version} is in {made}")


def _settings(config: Path | None, data: Path | None) -> "Settings":
    settings = read_settings(config, data)
    need_database(settings)
    return settings


def _with_registry(settings: "Settings", work: "Callable[[Registry], Awaitable[T]]") -> T:
    async def do() -> T:
        async with opened_registry(settings) as registry:
            return await work(registry)

    return run(do())


def _deploy(
    settings: "Settings", work: "Callable[[Deploying], Awaitable[Deployment]]", as_json: bool
) -> None:
    async def do(registry: "Registry") -> "Deployment":
        from understudy.learning.versions.deploying import Deploying

        return await work(Deploying(registry))

    row = _with_registry(settings, do)
    if as_json:
        print_json(msgspec.to_builtins(row))
    else:
        typer.echo(_told(row))


def _override(wanted: bool, by: str, reason: str) -> "Override | None":
    if not wanted:
        return None
    if not by.strip() or not reason.strip():
        raise CommandFailed("an override needs a name and a reason: give --by and --reason")
    from understudy.learning.versions.deploying import Override

    return Override(by, reason)


def _told(row: "Deployment") -> str:
    """A deployment in one line."""
    where = row.channel or "all channels"
    if row.share < 1:
        what = f"{row.version} answers {row.share:.0%} of those who ask in {where}"
    else:
        what = f"{row.version} answers in {where}"
    return f"{what}, after {row.before} (by {row.actor}: {row.reason})"
