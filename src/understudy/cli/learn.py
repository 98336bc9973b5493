"""`understudy learn`: now what a night would do, from the log to a canary."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from understudy.events import format_ts

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.storage.jobs import Job

_RECENT = 20
_LOOK_SECONDS = 1.0
"""How often the job is looked at while another process has it."""

Tell = Callable[[dict[str, Any]], None]


def learn(
    channel: str = typer.Option("", help="Only from this channel, and for it."),
    replay: float | None = typer.Option(
        None, min=0, max=0.9, help="Share of older rows.", show_default="learning.replay"
    ),
    data: Path = DataOption,
    config: Path = ConfigOption,
    recent: bool = typer.Option(False, "--list", help="Only list what the last nights came to."),
    as_json: bool = JsonOption,
) -> None:
    """Build a dataset, train on it, put the version through the gates and try it out.

    Exit code 1 when a gate stops it. Example: understudy learn --channel pixelharbor
    """
    settings = read_settings(config, data)
    need_database(settings)
    if recent:
        return _show_recent(run(_recent(settings)), as_json)
    share = settings.learning.replay if replay is None else replay
    tell = _quiet if as_json else _say
    job = run(_learn(settings, {"channel": channel, "replay": share}, tell))
    if job.state == "failed":
        raise CommandFailed(job.result["error"])
    if as_json:
        print_json(job.result)
    else:
        typer.echo(_ENDS[job.result["ended"]].format(**job.result))
    if job.result["ended"] == "blocked":
        raise typer.Exit(1)


_ENDS = {
    "skipped": "nothing was done: {reason}",
    "blocked": "version {version} is blocked: {reason}",
    "canary": "version {version} is tried out: {reason}",
}


async def _recent(settings: "Settings") -> "list[Job]":
    from understudy.learning.nightly.schedule import KIND
    from understudy.storage.engine import Database
    from understudy.storage.jobs import Jobs

    database = await Database.open(settings.database_url)
    try:
        return await Jobs(database).recent(KIND, limit=_RECENT)
    finally:
        await database.close()


def _show_recent(jobs: "list[Job]", as_json: bool) -> None:
    if as_json:
        return print_json([msgspec.to_builtins(job) for job in jobs])
    if not jobs:
        typer.echo("nothing was learned yet: set learning.every, or call understudy learn")
    for job in jobs:
        typer.echo(
            f"{format_ts(job.created)} {job.args.get('channel') or 'all':<16} {outcome_of(job)}"
        )


def outcome_of(job: "Job") -> str:
    """How a job stands, or what came of it."""
    match job.state:
        case "done":
            return _ENDS[job.result["ended"]].format(**job.result)
        case "failed":
            return f"failed: {job.result['error']}"
        case "running":
            progress: dict[str, Any] = job.progress or {}
            return f"under way: {progress.get('step', 'it begins')}"
        case "queued":
            return "waits for a process that learns"


async def _learn(settings: "Settings", args: dict[str, Any], tell: Tell) -> "Job":
    """Queue a job and carry it out, or follow the process that took it first."""
    from understudy.learning.nightly.schedule import KIND
    from understudy.learning.nightly.setup import EXPECTED, pipeline_of
    from understudy.learning.nightly.worker import JobWorker
    from understudy.learning.nightly.worker import Tell as TellWorker
    from understudy.storage.engine import Database
    from understudy.storage.jobs import Jobs

    database = await Database.open(settings.database_url)
    try:
        jobs, pipeline = Jobs(database), pipeline_of(settings, database)

        async def handle(lease: "Job", tell_worker: TellWorker) -> dict[str, Any]:
            async def tell_both(facts: dict[str, Any]) -> None:
                tell(facts)
                await tell_worker(facts)

            return await pipeline.handle(lease, tell_both)

        worker = JobWorker(jobs, {KIND: handle}, expected=EXPECTED)
        job = await jobs.enqueue(KIND, args)
        while job.state in {"queued", "running"}:
            if await worker.work_once() is None:
                await asyncio.sleep(_LOOK_SECONDS)
            job = await jobs.get(job.id) or job
        return job
    finally:
        await database.close()


def _say(facts: dict[str, Any]) -> None:
    if training := facts.get("training"):
        typer.echo(f"  step {training['step']} of {training['of']}, loss {training['loss']:.3f}")
    elif step := facts.get("step"):
        about = facts.get("version") or facts.get("dataset") or ""
        typer.echo(f"{step} {about}".rstrip())
        if step == "train" and (start := facts.get("start")):
            typer.echo(f"  on from {start}")
        if step == "train" and (anew := facts.get("anew")):
            typer.echo(f"  from the base, for {anew}")


def _quiet(facts: dict[str, Any]) -> None:
    """For machines, which read only the end."""
