"""The training loop: steps over the rows until they are learned.

Owns the optimizer, the learning rate, evaluation, early stop and when a checkpoint is due. Does not
own the order of the rows (`packing`), their loss (`losses`) or the files (`run_folder`).

A training is a function of its job: what comes after a checkpoint is what would have come without
the interruption, to the last bit on a CPU.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from understudy.learning.training import checkpoint as checkpoints
from understudy.learning.training.adapter import copy_weights, put_weights, trained_weights
from understudy.learning.training.checkpoint import Checkpoint, Position
from understudy.learning.training.encoding import Example
from understudy.learning.training.errors import TrainingError, TrainingStopped, require
from understudy.learning.training.job import Job, Line, Options
from understudy.learning.training.losses import Losses
from understudy.learning.training.packing import Shape, Step, plan, size


class Machine(msgspec.Struct, frozen=True):
    """What the loop runs on: a torch device, how rows are grouped, and its mixed precision."""

    device: str
    shape: Shape
    autocast: str = ""
    """Number format of the arithmetic where it differs from the weights', such as bfloat16."""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop tells, and whom it asks."""

    on_step: Callable[[Line], None]
    save: Callable[[Checkpoint], None]
    stop: Callable[[], bool] = lambda: False


def learning_rate(step: int, steps: int, options: Options, peak: float) -> float:
    """The rate of step number `step` (from 0) of `steps`: a linear rise, then the decay to 0."""
    rising = min(math.ceil(steps * options.warmup), steps - 1)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    done = (step - rising) / max(steps - rising, 1)
    shares = {
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "linear": 1 - done,
        "constant": 1.0,
    }
    return peak * shares[options.decay]


class Loop:
    """Trains the adapter of `model` (wrapped by PEFT) on `examples`.

    With `held_out` examples it measures them before the first step and then regularly, stops when
    they no longer get better, and keeps the weights that were best.
    """

    def __init__(
        self,
        model: Any,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        job: Job,
        machine: Machine,
        hooks: Hooks,
        fingerprint: dict[str, Any] | None = None,
    ) -> None:
        self._torch = require("torch")
        self._model = model
        self._examples = examples
        self._held_out = held_out
        self._options = options = job.options
        self._peak = job.learning_rate
        self._machine = machine
        self._hooks = hooks
        self._losses = Losses(model, machine.device, packed=machine.shape.packed)
        self._lengths = [len(example.tokens) for example in examples]
        self._steps = plan(self._lengths, machine.shape, epochs=options.epochs, seed=options.seed)
        self._weights = trained_weights(model)
        self._optimizer = self._torch.optim.AdamW(
            self._weights,
            lr=job.learning_rate,
            weight_decay=options.weight_decay,
            fused=machine.device.startswith("cuda"),
        )
        self._best: dict[str, Any] = {}
        self.position = Position(fingerprint=fingerprint or {})

    @property
    def steps(self) -> int:
        """How many steps the whole training has."""
        return len(self._steps)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from there; raises `TrainingError` when it belongs to another training."""
        if changed := _differences(checkpoint.position.fingerprint, self.position.fingerprint):
            raise TrainingError(
                f"the checkpoint belongs to another training ({', '.join(changed)} changed): "
                "begin anew in another folder"
            )
        self.position = checkpoint.position
        self._best = checkpoint.best
        put_weights(self._model, checkpoint.adapter)
        checkpoints.put_optimizer(self._optimizer, checkpoint.optimizer)
        checkpoints.put_chance(checkpoint.chance)

    def run(self) -> dict[str, Any]:
        """Train to the end and return the weights to keep.

        Raises `TrainingStopped` with the checkpoint written, and `TrainingError`.
        """
        position, began = self.position, time.monotonic() - self.position.seconds
        saved = time.monotonic()
        self._model.train()
        if self._held_out and position.held_out_before is None:
            position.held_out_before = self.held_out_loss()
        while position.step < len(self._steps) and not self._has_peaked():
            if self._hooks.stop():
                self._save()
                raise TrainingStopped
            rate = learning_rate(position.step, len(self._steps), self._options, self._peak)
            loss = self._step(self._steps[position.step], rate)
            position.step += 1
            held_out = self._evaluate() if self._is_evaluated() else None
            position.seconds = time.monotonic() - began
            self._hooks.on_step(self._line(loss, rate, held_out))
            if time.monotonic() - saved >= self._options.checkpoint_minutes * 60:
                self._save()
                saved = time.monotonic()
        return self._best or copy_weights(self._model)

    def held_out_loss(self) -> float:
        """Nats per token of the held-out rows."""
        with self._precision():
            rows = self._losses.of_rows(self._held_out, self._machine.shape)
        return sum(row.nats for row in rows) / sum(row.tokens for row in rows)

    def _step(self, step: Step, rate: float) -> float:
        """One step of the optimizer; the loss is the weighted mean over all its tokens."""
        examples = self._examples
        share = sum(examples[row].weight * examples[row].trained for rows in step for row in rows)
        total = 0.0
        for rows in step:
            chosen = [examples[row] for row in rows]
            with self._precision():
                nats, counts = self._losses.of_pass(chosen)
            weights = [e.weight for e, n in zip(chosen, counts, strict=True) for _ in range(n)]
            loss = (nats * self._torch.tensor(weights, device=nats.device)).sum() / share
            loss.backward()
            total += float(loss.detach())
            self._count(rows, sum(counts))
        if not math.isfinite(total):
            raise TrainingError(
                f"the loss is no number after {self.position.step} steps: "
                "train with a lower learning rate"
            )
        self._torch.nn.utils.clip_grad_norm_(self._weights, self._options.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def _count(self, rows: list[int], trained: int) -> None:
        self.position.trained += trained
        self.position.seen += sum(self._lengths[row] for row in rows)
        self.position.computed += size(rows, self._lengths, packed=self._machine.shape.packed)

    def _is_evaluated(self) -> bool:
        every = self._options.evaluate_steps or math.ceil(self.steps / self._options.epochs)
        step = self.position.step
        return bool(self._held_out) and (step % every == 0 or step == self.steps)

    def _evaluate(self) -> float:
        position, loss = self.position, self.held_out_loss()
        if position.best_loss is None or loss < position.best_loss:
            position.best_loss, position.best_step, position.waited = loss, position.step, 0
            self._best = copy_weights(self._model)
        else:
            position.waited += 1
        return loss

    def _has_peaked(self) -> bool:
        return 0 < self._options.patience <= self.position.waited

    def _precision(self) -> AbstractContextManager[Any]:
        if not self._machine.autocast:
            return nullcontext()
        kind = self._machine.device.partition(":")[0]
        return self._torch.autocast(kind, dtype=getattr(self._torch, self._machine.autocast))

    def _line(self, loss: float, rate: float, held_out: float | None) -> Line:
        position = self.position
        return Line(
            step=position.step,
            steps=self.steps,
            loss=loss,
            lr=rate,
            tokens=position.seen,
            seconds=round(position.seconds, 3),
            held_out=held_out,
        )

    def _save(self) -> None:
        self._hooks.save(
            Checkpoint(
                position=self.position,
                adapter=copy_weights(self._model),
                best=self._best,
                optimizer=checkpoints.pack_optimizer(self._optimizer),
                chance=checkpoints.pack_chance(),
            )
        )


def _differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = sorted(then.keys() | now.keys())
    return [name.replace("_", " ") for name in names if then.get(name) != now.get(name)]
