"""Trainers of other makers, called by a command.

Owns the command's template and what its outcome is called. Does not own the process (`process`).
Such a trainer lives in an environment of its own: it reads the dataset folder and writes
`adapter/adapter_config.json` and `adapter/adapter_model.safetensors` into the run folder; lines of
`log.jsonl` and a `result.json` are welcome and not required.
"""

import re
import shlex
from pathlib import Path

import msgspec

from understudy.brains.base import BrainError
from understudy.brains.huggingface.adapters import check_folder
from understudy.learning.training.adapter import hash_adapter
from understudy.learning.training.base_model import BaseModel, identify, locate
from understudy.learning.training.dataset import load_training_rows
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.job import Job, Losses, Result, Rows
from understudy.learning.training.process import OUTPUT, OnLine, last_words, run_command
from understudy.learning.training.run_folder import RunFolder

_PLACE = re.compile(r"\{(\w*)\}")


def fill(template: str, job: Job, folder: RunFolder) -> list[str]:
    """The words of the command; `{dataset}`, `{run}`, `{base}` become paths or the base's id.

    `{start}` becomes the folder of the adapter to go on from, empty for the base.

    No shell sees them. Raises `TrainingError` for a template that is no command.
    """
    places = {
        "dataset": str(Path(job.data).absolute()),
        "run": str(folder.path.absolute()),
        "base": job.base,
        "start": job.start,
    }
    unknown = set(_PLACE.findall(template)) - places.keys()
    if unknown or "{run}" not in template or "{dataset}" not in template:
        raise TrainingError(
            "the trainer's command must hold {dataset} and {run}, may hold {base} and {start}, "
            "and knows no other places: correct it"
        )
    if job.start and "{start}" not in template:
        raise TrainingError(
            "the trainer's command begins at the base: leave --start out, or tell it with {start}"
        )
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise TrainingError(f"the trainer's command is no command ({error}): correct it") from None
    return [_PLACE.sub(lambda found: places[found[1]], word) for word in words]


async def run_external(
    folder: RunFolder, template: str, *, on_line: OnLine = lambda line: None
) -> Result:
    """Let the command of `template` carry out the job in `folder`; returns what came of it.

    The rows are read first, so that a file nobody could learn from is told as always. Raises
    `TrainingError`; cancelled, it stops the command.
    """
    job = folder.job()
    if job is None:
        raise TrainingError(f"{folder.path} holds no job: begin one with understudy train")
    command = fill(template, job, folder)
    with folder.claimed():
        rows = load_training_rows(job)
        folder.forget_result()
        code = await run_command(command, folder, on_line=on_line)
        written = folder.result()
        result = written or Result(
            state="done",
            method=job.method,
            rows=Rows(rows.read, len(rows.train), len(rows.held_out), left_out=dict(rows.left_out)),
        )
        result = _judge(folder, job, result, code)
        result = msgspec.structs.replace(result, dataset=rows.identity)
        folder.finish(result)
        return result


def _judge(folder: RunFolder, job: Job, result: Result, code: int) -> Result:
    """`result` with what can be seen in the folder; failed when there is no usable adapter."""
    lines = folder.log()
    if lines:
        result = msgspec.structs.replace(
            result,
            steps=lines[-1].step,
            losses=Losses(lines[0].loss, lines[-1].loss),
            seconds=lines[-1].seconds,
        )
    if code != 0:
        said = last_words(folder)
        error = f"the trainer's command ended with code {code} ({said}): see {OUTPUT}"
        return msgspec.structs.replace(result, state="failed", error=error)
    try:
        check_folder(folder.adapter)
    except BrainError as error:
        return msgspec.structs.replace(result, state="failed", error=str(error))
    return msgspec.structs.replace(
        result,
        base=_base(job),
        start=hash_adapter(Path(job.start)) if job.start else "",
        adapter_hash=hash_adapter(folder.adapter),
    )


def _base(job: Job) -> BaseModel:
    is_folder = Path(job.base).expanduser().is_dir()
    return identify(locate(job.base), "" if is_folder else job.base)
