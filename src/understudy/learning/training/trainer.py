"""Carries out a job: from its rows and its base to an adapter and a result.

Owns the order of the work and what every failure is called. Does not own the process it happens in
(`process`) nor the methods themselves (`loop`, `preference`).
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from understudy.brains.base import BrainError
from understudy.brains.huggingface.loading import LocalModel
from understudy.learning.training import adapter, checkpoint
from understudy.learning.training.base_model import BaseModel, identify, locate
from understudy.learning.training.dataset import TrainingRows, load_training_rows
from understudy.learning.training.encoding import Encoder, Example, Unfit
from understudy.learning.training.errors import TrainingError, TrainingStopped
from understudy.learning.training.job import Job, Losses, Result, Rows, Tokens
from understudy.learning.training.loop import Hooks, Loop
from understudy.learning.training.machine import choose_machine, load_base
from understudy.learning.training.rows import Row
from understudy.learning.training.run_folder import RunFolder

Stop = Callable[[], bool]
Encoded = tuple[Row, Example]

_log = logging.getLogger(__name__)


def train(folder: RunFolder, *, resume: bool = False, stop: Stop = lambda: False) -> Result:
    """Do what `folder`'s job asks and return what came of it, which is on the disk as well.

    With `resume` it goes on from the checkpoint; a run that is done already stays as it is. `stop`
    is asked before every step. Raises `TrainingError` only when not even the result could be
    written, or when another trainer is at work in the folder.
    """
    with folder.claimed():
        former = folder.result()
        if resume and former is not None and former.state == "done":
            return former
        folder.forget_result()
        result = _attempt(folder, resume=resume, stop=stop)
        folder.finish(result)
        if result.state == "done":
            shutil.rmtree(folder.checkpoint, ignore_errors=True)
        return result


def _attempt(folder: RunFolder, *, resume: bool, stop: Stop) -> Result:
    job = folder.job()
    if job is None:
        raise TrainingError(f"{folder.path} holds no job: begin one with understudy train")
    work = _Work(folder, job, stop)
    began = time.monotonic()
    try:
        work.do(resume=resume)
    except TrainingStopped:
        work.end("stopped", "stopped before the end: go on with --resume")
    except (TrainingError, BrainError) as error:
        work.end("failed", str(error))
    except Exception as error:
        # Whatever breaks must still leave a result that says so.
        _log.exception("the training broke down")
        work.end("failed", _explain(error))
    seconds = work.result.seconds or round(time.monotonic() - began, 3)
    return msgspec.structs.replace(work.result, seconds=seconds)


class _Work:
    """A job while it is done; `result` says how far it is."""

    def __init__(self, folder: RunFolder, job: Job, stop: Stop) -> None:
        self.result = Result(state="failed", method=job.method)
        self._folder = folder
        self._job = job
        self._stop = stop

    def end(self, state: str, error: str = "") -> None:
        self._tell(state=state, error=error)

    def do(self, *, resume: bool) -> None:
        """Raises `TrainingError`, `TrainingStopped` and `BrainError`."""
        rows = load_training_rows(self._job)
        self._tell(dataset=rows.identity, rows=Rows(rows.read, left_out=dict(rows.left_out)))
        local = load_base(self._job.base, self._job.options)
        is_folder = Path(self._job.base).expanduser().is_dir()
        base = identify(locate(self._job.base), "" if is_folder else self._job.base)
        self._tell(base=base, device=local.device)
        if self._job.method == "sft":
            weights, model = self._learn_replies(rows, local, base, resume=resume)
        else:
            weights, model = self._learn_preferences(rows, local, base, resume=resume)
        self._tell(adapter_hash=adapter.save(model, weights, self._folder.adapter, base))
        self.end("done")

    def _learn_replies(
        self, rows: TrainingRows, local: LocalModel, base: BaseModel, *, resume: bool
    ) -> tuple[dict[str, Any], Any]:
        job, options = self._job, self._job.options
        encoder = Encoder(local, options.max_length)
        left_out = Counter(rows.left_out)
        train = _encode(encoder, cast(Sequence[Row], rows.train), left_out)
        held_out = _encode(encoder, rows.held_out, left_out)
        self._tell(
            rows=Rows(
                read=rows.read,
                trained=len(train),
                held_out=len(held_out),
                old=sum(row.meta.old for row, _ in train),
                cut=sum(example.cut for _, example in train),
                left_out=dict(left_out),
            )
        )
        need_rows(len(train), left_out)
        model = self._adapted(local)
        examples = [example for _, example in train]
        machine = choose_machine(local, model, options, _shortest(examples))
        loop = Loop(
            model,
            examples,
            [example for _, example in held_out],
            job,
            machine,
            Hooks(
                on_step=self._folder.add,
                save=lambda point: checkpoint.save(self._folder.checkpoint, point),
                stop=self._stop,
            ),
            # Packed rows come in another order.
            fingerprint={**self._fingerprint(rows, base), "packed": machine.shape.packed},
        )
        _continue(self._folder, loop, resume=resume)
        try:
            return loop.run(), model
        finally:
            self._tell_figures(loop)

    def _learn_preferences(
        self, rows: TrainingRows, local: LocalModel, base: BaseModel, *, resume: bool
    ) -> tuple[dict[str, Any], Any]:
        from understudy.learning.training.preference import Preferences

        preferences = Preferences(self._folder, self._job, rows, local, self._stop)
        self._tell(rows=preferences.counts)
        need_rows(preferences.counts.trained, Counter(preferences.counts.left_out))
        model = self._adapted(local)
        try:
            return preferences.learn(model, self._fingerprint(rows, base), resume=resume), model
        finally:
            self._tell(
                steps=preferences.step,
                best_step=preferences.step,
                seconds=preferences.seconds,
                losses=self._logged(),
                tokens=Tokens(preferences.tokens),
            )

    def _adapted(self, local: LocalModel) -> Any:
        options = self._job.options
        if self._job.start:
            start = Path(self._job.start)
            model = adapter.go_on(local.model, start, dropout=options.dropout, seed=options.seed)
            self._tell(start=adapter.hash_adapter(start))
            return model
        return adapter.attach(
            local.model,
            rank=options.rank,
            alpha=options.alpha,
            dropout=options.dropout,
            seed=options.seed,
        )

    def _fingerprint(self, rows: TrainingRows, base: BaseModel) -> dict[str, Any]:
        return {
            **self._job.seen(),
            "start": self.result.start,
            "dataset": rows.identity.hash,
            "base": base.hash,
        }

    def _tell_figures(self, loop: Loop) -> None:
        position = loop.position
        padding = 1 - position.seen / position.computed if position.computed else 0.0
        self._tell(
            steps=position.step,
            best_step=position.best_step or position.step,
            seconds=round(position.seconds, 3),
            losses=msgspec.structs.replace(
                self._logged(),
                held_out_before=position.held_out_before,
                held_out_after=position.best_loss,
            ),
            tokens=Tokens(position.seen, position.trained, round(padding, 4)),
        )

    def _logged(self) -> Losses:
        lines = self._folder.log()
        return Losses(lines[0].loss, lines[-1].loss) if lines else Losses()

    def _tell(self, **facts: Any) -> None:
        self.result = msgspec.structs.replace(self.result, **facts)


def need_rows(trained: int, left_out: Counter[str]) -> None:
    """Raise `TrainingError` when nothing is left to be trained."""
    if trained:
        return
    reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.most_common())
    raise TrainingError(
        f"no row can be learned from: {reasons or 'the file is empty'}: give other rows"
    )


def _encode(
    encoder: Encoder, rows: Sequence[Row], left_out: Counter[str]
) -> list[tuple[Row, Example]]:
    encoded: list[tuple[Row, Example]] = []
    for row in rows:
        try:
            encoded.append((row, encoder.encode(row.given, row.response, row.meta.weight)))
        except Unfit as reason:
            left_out[str(reason)] += 1
    return encoded


def _continue(folder: RunFolder, loop: Loop, *, resume: bool) -> None:
    """Take up the checkpoint, or begin with an empty log."""
    point = checkpoint.load(folder.checkpoint) if resume else None
    if point is not None:
        loop.resume(point)
    folder.cut_log(loop.position.step)


def _shortest(examples: list[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: len(example.tokens))[:3]


def _explain(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "the training does not fit into memory: lower the tokens of a pass, "
            "load the base in 4 bits, or use a smaller one"
        )
    if isinstance(error, OSError):
        return f"a file cannot be read or written ({error}): check the folders"
    return f"the training broke down ({type(error).__name__}): details are in trainer.log"
