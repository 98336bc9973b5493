"""A training in a process of its own.

Owns the process: its start, how far it is, its end, and what is told when it ends without a word.
Does not own what it does (`trainer`, or a command of the user's in `external`).
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from understudy.learning.training.errors import ClaimedError, TrainingError
from understudy.learning.training.job import Line, Losses, Result
from understudy.learning.training.run_folder import LOG, RunFolder, read_line

OnLine = Callable[[Line], None]

NICENESS = 10
"""The stream goes first: a training takes the time that nobody else wants."""
OUTPUT = "trainer.log"
CLAIMED = 4
"""Exit code of a trainer that found another one at work."""
_POLL_SECONDS = 0.2
_STOP_SECONDS = 60.0
"""Longest wait for a trainer that was asked to stop: it ends its step and writes a checkpoint."""


async def run_training(
    folder: RunFolder,
    *,
    resume: bool = False,
    on_line: OnLine = lambda line: None,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Carry out the job in `folder` and return what came of it, also when the trainer was killed.

    `environment` is added to that of this process. When this is cancelled the trainer is asked to
    stop, which keeps a checkpoint, and is gone when `CancelledError` comes through. Raises
    `TrainingError` when another trainer is at work in the folder.
    """
    command = [sys.executable, "-m", "understudy.learning.training", str(folder.path)]
    command += ["--parent", str(os.getpid()), *(["--resume"] if resume else [])]
    former = _when(folder)
    code = await run_command(command, folder, on_line=on_line, environment=environment)
    if code == CLAIMED:
        raise ClaimedError(
            f"another trainer is at work in {folder.path}: wait for it or choose another folder"
        )
    result = folder.result()
    if result is not None and _when(folder) != former:
        return result
    if result is not None and resume and result.state == "done":
        return result
    return killed(folder, code)


async def run_command(
    command: Sequence[str],
    folder: RunFolder,
    *,
    on_line: OnLine,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run `command`, told of every new line in the folder's log; returns its exit code.

    What it prints goes to `trainer.log`. When this is cancelled the process is stopped first.
    """
    begin = _size(folder)
    with (folder.path / OUTPUT).open("ab") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            raise TrainingError(
                f"{command[0]} cannot be started ({(error.strerror or 'unknown').lower()}): "
                "check the command"
            ) from error
    _be_nice(process.pid)
    following = asyncio.create_task(_follow(folder, begin, on_line), name="training-log")
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _stop(process)
        raise
    finally:
        following.cancel()
        await asyncio.wait([following])
    _tell_new(folder, begin if following.cancelled() else following.result(), on_line)
    return code


def killed(folder: RunFolder, code: int) -> Result:
    """The result of a trainer that could not write its own; it is put into the folder."""
    lines, job = folder.log(), folder.job()
    where = f" after step {lines[-1].step} of {lines[-1].steps}" if lines else ""
    how = f"was killed ({_signal_name(-code)})" if code < 0 else f"ended with code {code}"
    result = Result(
        state="failed",
        method=job.method if job else "",
        error=f"the trainer {how}{where}: {OUTPUT} may say why; go on with --resume",
        steps=lines[-1].step if lines else 0,
        losses=Losses(lines[0].loss, lines[-1].loss) if lines else Losses(),
        seconds=lines[-1].seconds if lines else 0.0,
    )
    folder.finish(result)
    return result


def last_words(folder: RunFolder) -> str:
    """The last line that the process printed."""
    text = (folder.path / OUTPUT).read_text("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


async def _follow(folder: RunFolder, begin: int, on_line: OnLine) -> int:
    while True:
        try:
            await asyncio.sleep(_POLL_SECONDS)
        except asyncio.CancelledError:
            return begin
        begin = _tell_new(folder, begin, on_line)


def _tell_new(folder: RunFolder, begin: int, on_line: OnLine) -> int:
    """Tell of the steps in the log from byte `begin` on; returns where the next one begins."""
    path = folder.path / LOG
    if not path.is_file():
        return begin
    with path.open("rb") as file:
        # A resumed trainer takes steps out that it will do again.
        file.seek(min(begin, path.stat().st_size))
        whole, _, _ = file.read().rpartition(b"\n")
        for line in whole.splitlines():
            if (step := read_line(line)) is not None:
                on_line(step)
        return min(begin, path.stat().st_size) + (len(whole) + 1 if whole else 0)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask the process to stop, and end it when it does not."""
    try:
        process.terminate()
    except ProcessLookupError:
        return
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _be_nice(process: int) -> None:
    if not hasattr(os, "setpriority"):
        return
    try:
        os.setpriority(os.PRIO_PROCESS, process, NICENESS)
    except OSError:
        # It has ended already, or this process is nicer than that itself.
        return


def _when(folder: RunFolder) -> int:
    path = folder.path / "result.json"
    return path.stat().st_mtime_ns if path.is_file() else 0


def _size(folder: RunFolder) -> int:
    path = folder.path / LOG
    return path.stat().st_size if path.is_file() else 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
