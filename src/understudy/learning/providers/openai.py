"""Fine-tuning at OpenAI, or at a server of its dialect, through its SDK.

Owns the run's folder here and the job there: what was uploaded and begun is noted at once, so a run
that is begun again goes on where it was and nothing is paid for twice. Does not own the file's form
(`exports.openai_format`) nor which key is sent (`account`).

A run's folder holds `job.json` (what was asked, and OpenAI's ids), the uploaded files, `log.jsonl`
(the job's events) and at the end `result.json`.
https://platform.openai.com/docs/api-reference/fine-tuning
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from understudy.brains.failures import public_url
from understudy.learning.exports.openai_format import openai_line, openai_problems
from understudy.learning.providers.account import Account
from understudy.learning.training.errors import TrainingError, reason_of
from understudy.learning.training.files import write_file
from understudy.learning.training.rows import Row, load_rows

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.fine_tuning import FineTuningJob

JOB, LOG, RESULT = "job.json", "log.jsonl", "result.json"
TRAIN, HELD_OUT = "openai-train.jsonl", "openai-val.jsonl"
POLL_SECONDS = 15.0
_FAILURES = 20
"""Times in a row that a job may not be reached before following it ends: five minutes."""
_ENDED = {"succeeded", "failed", "cancelled"}


class HostedTraining(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of OpenAI: to train its `model` on `data`.

    `data` is a dataset folder, or a JSONL file of rows. `suffix` becomes a part of the new model's
    name; `epochs` of 0 leaves their number to OpenAI. `teaches` and `channel` say what the new
    model is for; a `channel` that is empty stands for all.
    """

    data: str
    model: str
    suffix: str = ""
    epochs: int = 0
    seed: int = 0
    teaches: Literal["replies", "mood"] = "replies"
    channel: str = ""


class HostedEvent(msgspec.Struct, frozen=True):
    """Something that OpenAI told of a job; `ts` in seconds since the epoch."""

    id: str
    ts: int
    level: str
    message: str


class HostedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: `state` is done, failed or stopped; `model` is the fine-tuned one's name."""

    state: str
    error: str = ""
    model: str = ""
    base: str = ""
    job: str = ""
    tokens: int = 0


class _Noted(msgspec.Struct):
    """`job.json`: what was asked, and how far it is."""

    asked: HostedTraining
    training_file: str = ""
    validation_file: str = ""
    job: str = ""


OnEvent = Callable[[HostedEvent], None]


async def train_with_openai(
    asked: HostedTraining,
    folder: Path,
    account: Account,
    on_event: OnEvent = lambda event: None,
    poll_seconds: float = POLL_SECONDS,
) -> HostedResult:
    """Have OpenAI train what is asked, in the run `folder`, and wait for the outcome.

    A run that was begun there before goes on. When this is cancelled the job goes on at OpenAI.
    Raises `TrainingError`: what cannot be used, or is refused; a job that fails is a result.
    """
    await begin_at_openai(asked, folder, account)
    return await follow_at_openai(folder, account, on_event, poll_seconds)


async def begin_at_openai(asked: HostedTraining, folder: Path, account: Account) -> str:
    """Upload what is asked and begin the job in the run `folder`, once; returns the job's id.

    Raises `TrainingError`.
    """
    noted = await asyncio.to_thread(_begin, folder, asked)
    if not noted.job:
        async with _opened(account) as client:
            await _start(client, folder, noted)
    return noted.job


async def follow_at_openai(
    folder: Path,
    account: Account,
    on_event: OnEvent = lambda event: None,
    poll_seconds: float = POLL_SECONDS,
) -> HostedResult:
    """Wait for the outcome of the job of the run in `folder`; raises `TrainingError`."""
    former = await asyncio.to_thread(_result, folder)
    if former is not None and former.state == "done":
        return former
    job = await asyncio.to_thread(_job_of, folder)
    async with _opened(account) as client:
        ended = await _follow(client, folder, job, on_event, poll_seconds)
    return await _keep(folder, ended)


async def cancel_at_openai(folder: Path, account: Account) -> HostedResult:
    """End the job of the run in `folder`; raises `TrainingError` when there is none to end."""
    job = await asyncio.to_thread(_job_of, folder)
    async with _opened(account) as client:
        ended = await client.fine_tuning.jobs.cancel(job)
    return await _keep(folder, ended)


def find_run(folders: Iterable[Path], job: str) -> tuple[Path, HostedTraining]:
    """The run among `folders` that began this job, and what it asked; raises `TrainingError`."""
    for folder in folders:
        with contextlib.suppress(TrainingError):
            noted = _read_noted(folder)
            if noted is not None and job and noted.job == job:
                return folder, noted.asked
    raise TrainingError(
        f"no run here began the job {job[:80]}: name the folder that it was begun in"
    )


async def _keep(folder: Path, job: "FineTuningJob") -> HostedResult:
    result = _outcome(job)
    await asyncio.to_thread(write_file, folder / RESULT, _pretty(result))
    return result


async def _start(client: "AsyncOpenAI", folder: Path, noted: _Noted) -> None:
    """Upload the files and begin the job; every id is noted as soon as there is one."""
    if not noted.training_file:
        noted.training_file = await _upload(client, folder / TRAIN)
        _note(folder, noted)
    if not noted.validation_file and (folder / HELD_OUT).is_file():
        noted.validation_file = await _upload(client, folder / HELD_OUT)
        _note(folder, noted)
    # A job that was begun just before a crash is known by its file: it must not be paid for twice.
    async for known in client.fine_tuning.jobs.list(limit=100):
        if known.training_file == noted.training_file:
            noted.job = known.id
            break
    else:
        # Not tried again by itself: an answer that was lost may have begun a job.
        once = client.with_options(max_retries=0)
        noted.job = (await once.fine_tuning.jobs.create(**_arguments(noted))).id
    _note(folder, noted)


def _arguments(noted: _Noted) -> dict[str, Any]:
    asked = noted.asked
    arguments: dict[str, Any] = {"model": asked.model, "training_file": noted.training_file}
    if noted.validation_file:
        arguments["validation_file"] = noted.validation_file
    if asked.suffix:
        arguments["suffix"] = asked.suffix
    if asked.seed:
        arguments["seed"] = asked.seed
    hyperparameters = {"n_epochs": asked.epochs} if asked.epochs else {}
    supervised = {"hyperparameters": hyperparameters} if hyperparameters else {}
    arguments["method"] = {
        "type": "supervised",
        **({"supervised": supervised} if supervised else {}),
    }
    return arguments


async def _upload(client: "AsyncOpenAI", path: Path) -> str:
    content = await asyncio.to_thread(path.read_bytes)
    return (await client.files.create(file=(path.name, content), purpose="fine-tune")).id


async def _follow(
    client: "AsyncOpenAI", folder: Path, job: str, on_event: OnEvent, poll_seconds: float
) -> "FineTuningJob":
    """Wait until the job has ended, telling of its events; raises `TrainingError`."""
    import openai

    seen = await asyncio.to_thread(_seen, folder)
    failures = 0
    while True:
        try:
            state = await client.fine_tuning.jobs.retrieve(job)
            await _tell_events(client, folder, job, seen, on_event)
            failures = 0
            if state.status in _ENDED:
                return state
        except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError):
            failures += 1
            if failures >= _FAILURES:
                raise
        await asyncio.sleep(poll_seconds)


async def _tell_events(
    client: "AsyncOpenAI", folder: Path, job: str, seen: set[str], on_event: OnEvent
) -> None:
    """Log and tell the events that are new, oldest first: OpenAI lists the newest first."""
    new: list[HostedEvent] = []
    async for event in client.fine_tuning.jobs.list_events(job, limit=100):
        if event.id in seen:
            break
        new.append(HostedEvent(event.id, event.created_at, event.level, event.message))
    for told in reversed(new):
        await asyncio.to_thread(_append, folder / LOG, told)
        seen.add(told.id)
        on_event(told)


def _outcome(job: "FineTuningJob") -> HostedResult:
    state = {"succeeded": "done", "failed": "failed"}.get(job.status, "stopped")
    error = ""
    if state == "failed":
        said = job.error.message if job.error and job.error.message else "it gave no reason"
        code = f" ({job.error.code})" if job.error and job.error.code else ""
        error = f"OpenAI failed: {' '.join(said.split())}{code}"
    elif state == "stopped":
        error = f"the job {job.id} was cancelled at OpenAI: begin anew in another folder"
    return HostedResult(
        state=state,
        error=error,
        model=job.fine_tuned_model or "",
        base=job.model,
        job=job.id,
        tokens=job.trained_tokens or 0,
    )


@asynccontextmanager
async def _opened(account: Account) -> "AsyncGenerator[AsyncOpenAI]":
    """A client; what OpenAI refuses comes out as `TrainingError`."""
    try:
        import openai
    except ImportError:
        raise TrainingError(
            "training at OpenAI needs its package: pip install 'understudy[openai]'"
        ) from None
    client = openai.AsyncOpenAI(api_key=account.key, base_url=account.url)
    try:
        yield client
    except openai.AuthenticationError:
        raise TrainingError(
            f"{account.title} does not accept the key: check brain.openai_api_key"
        ) from None
    except openai.APIStatusError as error:
        raise TrainingError(
            f"{account.title} refused ({error.status_code}: {_without(account.key, error.message)})"
        ) from None
    except openai.APIConnectionError:
        raise TrainingError(
            f"{public_url(account.url)} cannot be reached: check the network, then try again"
        ) from None
    finally:
        await client.close()


def _without(secret: str, text: str) -> str:
    return " ".join(text.replace(secret, "***").split())[:300]


def _begin(folder: Path, asked: HostedTraining) -> _Noted:
    """What is noted of the run, or a new note with its files; raises `TrainingError`."""
    noted = _read_noted(folder)
    if noted is not None:
        if noted.asked != asked:
            raise TrainingError(
                f"{folder} holds another run: go on with what it was begun with, or choose another "
                "folder"
            )
        return noted
    _write_files(folder, Path(asked.data))
    noted = _Noted(asked)
    _note(folder, noted)
    return noted


def _write_files(folder: Path, data: Path) -> None:
    """Write what is to be uploaded; raises `TrainingError` when OpenAI would not take it."""
    if data.is_dir():
        train = load_rows(data / "train.jsonl", Row).rows
        held_out_file = data / "val.jsonl"
        held_out = load_rows(held_out_file, Row).rows if held_out_file.is_file() else []
    else:
        rows = load_rows(data, Row).rows
        train = [row for row in rows if row.meta.split != "val"]
        held_out = [row for row in rows if row.meta.split == "val"]
    for name, rows in ((TRAIN, train), (HELD_OUT, held_out)):
        if name == HELD_OUT and not rows:
            continue
        write_file(folder / name, b"".join(_line(row) for row in rows))
        problems = openai_problems(folder / name)
        if name == HELD_OUT and problems:
            # It only measures: without it OpenAI trains all the same.
            (folder / name).unlink()
        elif problems:
            raise TrainingError(f"OpenAI would not take {data.name}: {'; '.join(problems)}")


def _line(row: Row) -> bytes:
    messages = [{"role": m.role, "content": m.content} for m in row.given]
    return (
        msgspec.json.encode(openai_line({"messages": messages, "response": row.response})) + b"\n"
    )


def _job_of(folder: Path) -> str:
    """The job of the run in `folder`; raises `TrainingError` when none was begun there."""
    noted = _read_noted(folder)
    if noted is None or not noted.job:
        raise TrainingError(f"{folder} holds no job at OpenAI: there is nothing to follow or end")
    return noted.job


def _note(folder: Path, noted: _Noted) -> None:
    write_file(folder / JOB, _pretty(noted))


def _read_noted(folder: Path) -> _Noted | None:
    try:
        return msgspec.json.decode((folder / JOB).read_bytes(), type=_Noted)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise TrainingError(
            f"{folder / JOB} is not of a run at OpenAI: choose another folder"
        ) from None


def _result(folder: Path) -> HostedResult | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / RESULT).read_bytes(), type=HostedResult)
    return None


def _seen(folder: Path) -> set[str]:
    """The ids of the events that are in the log; a line that broke off is none."""
    try:
        lines = (folder / LOG).read_bytes().splitlines()
    except FileNotFoundError:
        return set()
    found: set[str] = set()
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            found.add(msgspec.json.decode(line, type=HostedEvent).id)
    return found


def _append(path: Path, event: HostedEvent) -> None:
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(event) + b"\n")
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written ({reason_of(error)}): make room, then begin again"
        ) from error


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
