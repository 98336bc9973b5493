"""Training at OpenAI from the command line: begun, followed, taken up again, ended.

Shared by `understudy train --provider openai` and `understudy mood upload`. Does not own the
training (`learning.providers.openai`).
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.terminal import CommandFailed, print_json, progress_bar, run
from understudy.cli.versions import opened_registry

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.providers.openai import HostedEvent, HostedResult, HostedTraining
    from understudy.storage.versions import ModelVersion

_STEP = re.compile(r"Step (\d+)/(\d+)\b")
_UNFIT = re.compile(r"[^a-z0-9]+")
_SUFFIX_CHARS = 40


def new_run(settings: "Settings") -> Path:
    """The folder of a run that begins now, which is not made yet."""
    name = f"openai-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    return _runs(settings) / name


def _runs(settings: "Settings") -> Path:
    return settings.data_dir / "learning" / "runs"


def asked_of_openai(
    settings: "Settings", data: Path, base: str, channel: str, *, epochs: int, seed: int
) -> "HostedTraining":
    """What to ask of OpenAI; raises `CommandFailed` when nobody says of which model."""
    from understudy.learning.providers.openai import HostedTraining

    model = base or (settings.brain.model if settings.brain.provider == "openai" else "")
    if not model:
        raise CommandFailed("name a model that OpenAI can train with --base")
    suffix = _UNFIT.sub("-", channel.lower()).strip("-")[:_SUFFIX_CHARS]
    return HostedTraining(
        data=str(data),
        model=model,
        suffix=suffix or "understudy",
        epochs=epochs,
        seed=seed,
        channel=channel,
    )


def train_at_openai(
    settings: "Settings", asked: "HostedTraining", folder: Path, *, wait: bool, as_json: bool
) -> None:
    """Begin a job in the run `folder` and, if `wait`, follow it to its end."""
    from understudy.learning.providers.account import account_of
    from understudy.learning.providers.openai import begin_at_openai

    async def begin() -> str:
        return await begin_at_openai(asked, folder, account_of(settings))

    try:
        job = run(begin())
    except KeyboardInterrupt:
        raise CommandFailed(
            "stopped while the job began: look at OpenAI whether it did before you begin another"
        ) from None
    if wait:
        _say(f"job {job} on {asked.model}, in {folder}", quiet=as_json)
        _follow(settings, asked, folder, job, as_json)
    elif as_json:
        print_json({"job": job, "run": str(folder)})
    else:
        typer.echo(
            f"job {job} on {asked.model} goes on at OpenAI: {_ways_on(settings, job, folder)}"
        )


def follow_job(settings: "Settings", job: str, folder: Path | None, as_json: bool) -> None:
    """Follow a job that was begun before; of the run in `folder`, or of any run."""
    place, asked = _find(settings, job, folder)
    _follow(settings, asked, place, job, as_json)


def cancel_job(settings: "Settings", job: str, folder: Path | None, as_json: bool) -> None:
    """End a job that was begun before."""
    from understudy.learning.providers.account import account_of
    from understudy.learning.providers.openai import cancel_at_openai

    place, _ = _find(settings, job, folder)

    async def end() -> "HostedResult":
        return await cancel_at_openai(place, account_of(settings))

    result = run(end())
    if as_json:
        print_json(msgspec.to_builtins(result))
    elif result.state == "done":
        typer.echo(f"job {job} was done before it could be cancelled: its model is {result.model}")
    else:
        typer.echo(f"job {job} is cancelled")


def _follow(
    settings: "Settings", asked: "HostedTraining", folder: Path, job: str, as_json: bool
) -> None:
    from understudy.learning.providers import openai
    from understudy.learning.providers.account import account_of

    def told(event: "HostedEvent") -> None:
        if step := _STEP.search(event.message):
            advance(int(step[1]), int(step[2]))
        else:
            _say(event.message, quiet=as_json)

    async def to_the_end() -> "HostedResult":
        account = account_of(settings)
        return await openai.follow_at_openai(folder, account, told, openai.POLL_SECONDS)

    with progress_bar("training", quiet=as_json) as advance:
        try:
            result = run(to_the_end())
        except KeyboardInterrupt:
            raise CommandFailed(
                f"stopped, but job {job} goes on at OpenAI: {_ways_on(settings, job, folder)}"
            ) from None
        except CommandFailed as error:
            raise CommandFailed(f"{error}; then {_ways_on(settings, job, folder)}") from None
    version = None
    if result.state == "done" and asked.teaches == "replies":
        version = run(_register(settings, asked, folder, result))
    if as_json:
        known = {"run": str(folder), "version": version.id if version else ""}
        print_json(msgspec.to_builtins(result) | known)
    if result.state != "done":
        raise CommandFailed(result.error)
    if not as_json:
        _tell_use(result.model, version)


def _tell_use(model: str, version: "ModelVersion | None") -> None:
    if version is None:
        use = "set mood.classifier to openai and mood.model to that name"
    else:
        use = f"it is {version.id}: set brain.provider to openai and brain.model to that name"
    typer.echo(f"{model} is trained: {use}")


async def _register(
    settings: "Settings", asked: "HostedTraining", folder: Path, result: "HostedResult"
) -> "ModelVersion":
    known = settings.data_dir / "learning" / "datasets"
    data = Path(asked.data)
    async with opened_registry(settings) as registry:
        return await registry.register_hosted(
            result.model,
            base=result.base,
            provider="openai",
            run=folder.name,
            dataset=data.name if data.parent == known.absolute() else "",
            channel=asked.channel,
        )


def _find(settings: "Settings", job: str, folder: Path | None) -> "tuple[Path, HostedTraining]":
    from understudy.learning.providers.openai import find_run

    runs = _runs(settings)
    places = sorted(runs.iterdir()) if runs.is_dir() else []

    async def look() -> "tuple[Path, HostedTraining]":
        return find_run([folder] if folder else places, job)

    return run(look())


def _ways_on(settings: "Settings", job: str, folder: Path) -> str:
    command = "understudy train --provider openai"
    place = "" if folder.parent == _runs(settings) else f" --output-dir {folder}"
    return (
        f"follow it with {command} --follow {job}{place}, or end it with {command} --cancel "
        f"{job}{place}"
    )


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        typer.echo(text, err=True)
