"""`understudy train`: a LoRA adapter from what was collected, or a model trained at OpenAI."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from understudy.cli.hosted import (
    asked_of_openai,
    cancel_job,
    follow_job,
    new_run,
    train_at_openai,
)
from understudy.cli.terminal import (
    Advance,
    CommandFailed,
    ConfigOption,
    JsonOption,
    need_database,
    print_json,
    progress_bar,
    read_settings,
    run,
)
from understudy.cli.versions import opened_registry

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.learning.training.job import Job, Line, Method, Result
    from understudy.learning.training.run_folder import RunFolder

METHODS: "tuple[Method, ...]" = ("sft", "kto", "dpo")
EPOCHS = 3

RowsOption = typer.Option(
    "", "--data", metavar="FILE|DATASET", help="JSON lines, a dataset's folder or its id."
)
OutputOption = typer.Option(
    None, "--output-dir", help="Folder of this run; the adapter will be in DIR/adapter."
)
BaseOption = typer.Option(
    "", "--base", help="Model folder or id.", show_default="the model of the settings"
)
StartOption = typer.Option(
    "", "--start", metavar="VERSION", help="Go on from this version.", show_default="the base"
)
ProviderOption = typer.Option("local", "--provider", help="Where to train: local or openai.")
ChannelOption = typer.Option(
    "", "--channel", help="With openai: channel that it is for.", show_default="all"
)
FollowOption = typer.Option(
    "", "--follow", metavar="JOB", help="With openai: go on following a job."
)
CancelOption = typer.Option("", "--cancel", metavar="JOB", help="With openai: end a job.")


MethodOption = typer.Option(
    "sft", "--method", help="sft learns replies, kto from thumbs, dpo from pairs of replies."
)
ReplayOption = typer.Option(
    0.25, "--replay", min=0, max=0.9, help="With --old: their share among all rows."
)
OldOption = typer.Option(
    None, "--old", help="With a FILE: older rows to mix in, against forgetting."
)
ResumeOption = typer.Option(False, "--resume", help="Go on from the checkpoint in DIR.")
EpochsOption = typer.Option(
    0,
    "--epochs",
    min=0,
    help="How often every row is seen.",
    show_default=f"{EPOCHS}; OpenAI chooses itself",
)
RateOption = typer.Option(
    0.0, "--lr", min=0, help="Highest learning rate.", show_default="0.0003; kto and dpo 0.00002"
)
RankOption = typer.Option(16, "--rank", min=1, help="Rank of the adapter.")
BatchOption = typer.Option(16, "--batch-size", min=1, help="Rows of a step.")
LengthOption = typer.Option(
    0,
    "--max-length",
    min=0,
    help="Tokens of a row; longer histories lose their beginning.",
    show_default="2048, or what the model reads",
)
SeedOption = typer.Option(0, "--seed", help="The same seed gives the same adapter.")
MinutesOption = typer.Option(
    5.0, "--checkpoint-minutes", min=0, help="Minutes between checkpoints."
)
FourBitOption = typer.Option(
    False, "--4bit", help="Load the base in 4 bits: less memory, on an NVIDIA GPU."
)
TrainerOption = typer.Option(
    "", "--trainer", help="Command of another trainer, with {dataset}, {run}, {base} and {start}."
)
DataDirOption = typer.Option(
    None,
    "--data-dir",
    help="Data directory, for a dataset's id.",
    show_default="understudy-data",
)


def train(
    data: str = RowsOption,
    output_dir: Path = OutputOption,
    base: str = BaseOption,
    start: str = StartOption,
    provider: str = ProviderOption,
    channel: str = ChannelOption,
    follow: str = FollowOption,
    cancel: str = CancelOption,
    method: str = MethodOption,
    replay: float = ReplayOption,
    old: Path = OldOption,
    resume: bool = ResumeOption,
    epochs: int = EpochsOption,
    rate: float = RateOption,
    rank: int = RankOption,
    batch_size: int = BatchOption,
    max_length: int = LengthOption,
    seed: int = SeedOption,
    checkpoint_minutes: float = MinutesOption,
    four_bit: bool = FourBitOption,
    trainer: str = TrainerOption,
    data_dir: Path = DataDirOption,
    config: Path = ConfigOption,
    as_json: bool = JsonOption,
) -> None:
    """Train a LoRA adapter in a process of its own. Ctrl-C stops it and keeps a checkpoint.

    Example: understudy train --data chat.jsonl --output-dir runs/first --base ./my-model
    """
    from understudy.learning.training.job import Job, Options

    settings = read_settings(config, data_dir)
    if provider != "local":
        _check_provider(provider, any([method != "sft", old, start, resume, trainer, four_bit]))
        hosted = _Hosted(data, base, channel, epochs, seed, output_dir, follow, cancel)
        return _train_hosted(settings, hosted, as_json)
    _check_given(data, output_dir)
    options = Options(
        epochs=epochs or EPOCHS,
        learning_rate=rate,
        rank=rank,
        alpha=2 * rank,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
        checkpoint_minutes=checkpoint_minutes,
        quantization="4bit" if four_bit else "none",
        device=settings.brain.device,
    )
    job = Job(
        data=str(find_data(settings, data)),
        base=find_base(settings, base),
        start=find_start(settings, start, base),
        method=_known(method),
        old=str(old.absolute()) if old else "",
        replay=replay,
        options=options,
    )
    _train_here(settings, job, output_dir, trainer, resume, as_json)


class _Hosted(msgspec.Struct, frozen=True):
    """What was asked with `--provider openai`."""

    data: str
    base: str
    channel: str
    epochs: int
    seed: int
    folder: Path | None
    follow: str
    cancel: str


def _train_hosted(settings: "Settings", hosted: _Hosted, as_json: bool) -> None:
    """Begin, follow or end a job at OpenAI."""
    if hosted.cancel:
        return cancel_job(settings, hosted.cancel, hosted.folder, as_json)
    if hosted.follow:
        return follow_job(settings, hosted.follow, hosted.folder, as_json)
    folder = hosted.folder or new_run(settings)
    _check_given(hosted.data, folder)
    asked = asked_of_openai(
        settings,
        find_data(settings, hosted.data),
        hosted.base,
        hosted.channel,
        epochs=hosted.epochs,
        seed=hosted.seed,
    )
    return train_at_openai(settings, asked, folder, wait=True, as_json=as_json)


def _known(method: str) -> "Method":
    if method in METHODS:
        return method
    raise typer.BadParameter(f"use one of {', '.join(METHODS)}", param_hint="--method")


def _check_given(data: str, folder: Path | None) -> None:
    for option, value in (("--data", data), ("--output-dir", folder)):
        if not value:
            raise typer.BadParameter("say what to use", param_hint=option)


def _check_provider(provider: str, local_options: bool) -> None:
    if provider != "openai":
        raise typer.BadParameter("use local or openai", param_hint="--provider")
    if local_options:
        raise typer.BadParameter(
            "--method, --old, --start, --resume, --trainer and --4bit are for training on this "
            "machine; a job is taken up again with --follow",
            param_hint="--provider",
        )


def _train_here(
    settings: "Settings", job: "Job", place: Path, command: str, resume: bool, as_json: bool
) -> None:
    """Train and say what came of it; raises `CommandFailed` when it is no adapter."""
    result = _train(settings, job, place, command, resume, as_json)
    if as_json:
        print_json(msgspec.to_builtins(result))
    if result.state != "done":
        raise CommandFailed(result.error)
    if not as_json:
        _show(result, place)
        _tell_next(settings, result.dataset.id, place)


def _tell_next(settings: "Settings", dataset: str, place: Path) -> None:
    """Say how the adapter becomes a version, where the gates can judge it."""
    from understudy.learning.datasets.errors import DatasetError
    from understudy.learning.datasets.store import Datasets

    try:
        channel = Datasets(settings.data_dir / "learning" / "datasets").manifest(dataset).channel
    except DatasetError:
        # Trained on a file: the gates have nothing to measure with.
        return
    scope = f" --channel {channel}" if channel else ""
    typer.echo(
        f"next: understudy models register {place}{scope}, then understudy evaluate with the "
        "version's name"
    )


def find_data(settings: "Settings", data: str) -> Path:
    """The file or folder that `--data` names; raises `CommandFailed`."""
    folder = settings.data_dir / "learning" / "datasets"
    # An id is one name: a path that leads out of the folder is none.
    known = [Path(data)] + ([folder / data] if Path(data).name == data else [])
    for path in known:
        if path.exists():
            return path.absolute()
    raise CommandFailed(f"{data} is neither a file nor a dataset in {folder}: check --data")


def find_base(settings: "Settings", base: str) -> str:
    """The model to train: `base`, else the local one of the settings."""
    local = settings.brain.provider == "huggingface" and settings.brain.model
    model = base or local or settings.brain.hf_model
    folder = Path(model).expanduser()
    return str(folder.absolute()) if folder.is_dir() else model


def find_start(settings: "Settings", version: str, base: str) -> str:
    """The adapter of the version to go on from, empty for none; raises `CommandFailed`."""
    from understudy.learning.training.base_model import identify, locate

    if not version:
        return ""
    need_database(settings)

    async def look() -> Path:
        async with opened_registry(settings) as registry:
            found = await registry.get(version)
            model = identify(locate(find_base(settings, base)))
            # Sizes alone do not tell two models of one family apart.
            if model.hash != found.base_hash:
                raise CommandFailed(
                    f"version {version} is of {found.base} and not of {model.name}: name its base"
                )
            return registry.adapter(found)

    return str(run(look()).absolute())


def _train(
    settings: "Settings", job: "Job", place: Path, command: str, resume: bool, quiet: bool
) -> "Result":
    """What came of the training; raises `CommandFailed` when it did not begin."""
    from understudy.learning.training.errors import TrainingError
    from understudy.learning.training.run_folder import RunFolder

    folder = RunFolder(place.absolute())
    try:
        folder.begin(job, resume=resume)
        with progress_bar("training", quiet=quiet) as advance:
            return _run(settings, folder, command, resume=resume, advance=advance)
    except TrainingError as error:
        raise CommandFailed(str(error)) from None
    except KeyboardInterrupt:
        return _stopped(folder)


def _run(
    settings: "Settings", folder: "RunFolder", command: str, *, resume: bool, advance: Advance
) -> "Result":
    from understudy.learning.training.external import run_external
    from understudy.learning.training.process import run_training

    def on_line(line: "Line") -> None:
        advance(line.step, line.steps or None)

    if command:
        return run(run_external(folder, command, on_line=on_line))
    token = settings.brain.hf_api_key.get_secret_value()
    environment = {"HF_TOKEN": token} if token else {}
    return run(run_training(folder, resume=resume, on_line=on_line, environment=environment))


def _stopped(folder: "RunFolder") -> "Result":
    """What the trainer left when it was interrupted."""
    from understudy.learning.training.job import Result

    result = folder.result()
    if result is not None:
        return result
    return Result(state="stopped", method="", error="stopped before it began: start it again")


def _show(result: "Result", place: Path) -> None:
    for reason, count in sorted(result.rows.left_out.items()):
        typer.echo(f"left out: {reason} ({count})", err=True)
    if result.rows.cut:
        typer.echo(f"shortened: the history of {result.rows.cut} rows", err=True)
    before, after = result.losses.held_out_before, result.losses.held_out_after
    held_out = ""
    if before is not None and after is not None:
        held_out = f", held-out loss {before:.3f} -> {after:.3f}"
    elif result.losses.first is not None and result.losses.last is not None:
        held_out = f", loss {result.losses.first:.3f} -> {result.losses.last:.3f}"
    typer.echo(
        f"{place / 'adapter'}: {result.steps} steps over {result.rows.trained} rows "
        f"in {result.seconds:.0f} s{held_out}"
    )
