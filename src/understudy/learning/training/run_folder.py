"""A run's folder: who may work in it, and its files.

Owns names, the lock and the log. Does not own what the files say (`job`).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from understudy.learning.training.errors import ClaimedError, TrainingError, reason_of
from understudy.learning.training.files import write_file
from understudy.learning.training.job import Job, Line, Result

JOB, LOG, RESULT, ADAPTER = "job.json", "log.jsonl", "result.json", "adapter"
_LOCK = ".lock"

Read = TypeVar("Read", Job, Result)


class RunFolder:
    """The folder `path` of one training."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.adapter = path / ADAPTER
        self.checkpoint = path / "checkpoint"

    def begin(self, job: Job, *, resume: bool = False) -> None:
        """Write down what is asked.

        Raises `TrainingError` when it cannot be done as asked, when the folder holds another run
        that came to something, or when a trainer is at work in it.
        """
        _check(job)
        with self.claimed():
            former = self.job()
            if resume:
                self._check_same(former, job)
            elif former is not None and (self.adapter.exists() or self.checkpoint.exists()):
                raise TrainingError(
                    f"{self.path} holds a run already: go on with it with --resume, "
                    "or choose another folder"
                )
            write_file(self.path / JOB, _pretty(job))

    def _check_same(self, former: Job | None, job: Job) -> None:
        if former is None:
            raise TrainingError(f"{self.path} holds no run to go on with: leave --resume out")
        if changed := _changes(former, job):
            raise TrainingError(
                f"the run in {self.path} was begun differently ({', '.join(changed)}): "
                "ask for the same, or begin anew in another folder"
            )

    def job(self) -> Job | None:
        """What was asked, if anything was; raises `TrainingError` when it cannot be read."""
        return self._read(JOB, Job)

    def result(self) -> Result | None:
        """What came of it, once it has ended."""
        return self._read(RESULT, Result)

    def finish(self, result: Result) -> None:
        """Write down what came of it; raises `TrainingError`."""
        write_file(self.path / RESULT, _pretty(result))

    def forget_result(self) -> None:
        """Take a former result away: it says nothing of what begins now."""
        (self.path / RESULT).unlink(missing_ok=True)

    def log(self) -> list[Line]:
        """The steps so far; what is no step, or is still being written, is passed over."""
        path = self.path / LOG
        if not path.is_file():
            return []
        lines = (read_line(line) for line in path.read_bytes().split(b"\n")[:-1])
        return [line for line in lines if line is not None]

    def cut_log(self, steps: int) -> list[Line]:
        """Take the steps after `steps` out of the log, for they will be done again."""
        kept = [line for line in self.log() if line.step <= steps]
        write_file(self.path / LOG, b"".join(msgspec.json.encode(line) + b"\n" for line in kept))
        return kept

    def add(self, line: Line) -> None:
        """Append a step to the log; raises `TrainingError`."""
        try:
            with (self.path / LOG).open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise TrainingError(
                f"{LOG} cannot be written ({reason_of(error)}): make room, then go on with --resume"
            ) from error

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Be the only trainer at work here; raises `TrainingError` when there is one.

        The system gives the lock back whatever ends the process.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise TrainingError(
                f"{self.path} cannot be written to ({reason_of(error)}): choose another folder"
            ) from error
        try:
            _lock(descriptor, self.path)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str, kind: type[Read]) -> Read | None:
        path = self.path / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise TrainingError(f"{path} cannot be read: begin anew in another folder") from error


def read_line(line: bytes) -> Line | None:
    """The step that a line of the log tells of."""
    try:
        return msgspec.json.decode(line, type=Line)
    except msgspec.DecodeError:
        return None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:
        # Windows: two trainers in one folder are not told apart there.
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ClaimedError(
            f"another trainer is at work in {folder}: wait for it or choose another folder"
        ) from None


def _check(job: Job) -> None:
    try:
        msgspec.convert(msgspec.to_builtins(job), Job)
    except msgspec.ValidationError as error:
        raise TrainingError(f"the training cannot be asked for like this: {error}") from None


def _changes(former: Job, job: Job) -> list[str]:
    """What of a job is asked for differently, in words."""
    then = {"data": former.data, "base": former.base, "old file": former.old, **former.seen()}
    now = {"data": job.data, "base": job.base, "old file": job.old, **job.seen()}
    return [name.replace("_", " ") for name, value in now.items() if then[name] != value]


def _pretty(value: Job | Result) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
