"""Learning from what was liked: KTO from thumbs, DPO from rankings, by TRL.

Owns what TRL is given and told, and its traps: it takes thumbs of one kind only without a word,
drops rows silently, needs the rows shuffled once for KTO, and lets DPO alone push the worse reply
down without ever learning the better one (so the `sft` term goes with it). Does not own the loop,
which is TRL's. Weights of rows do not count here; the two kinds of thumbs are balanced instead.
"""

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from understudy.brains.huggingface.loading import LocalModel
from understudy.learning.training.adapter import copy_weights
from understudy.learning.training.dataset import TrainingRows
from understudy.learning.training.encoding import Encoder, Unfit, Written
from understudy.learning.training.errors import TrainingError, TrainingStopped, require
from understudy.learning.training.files import write_file
from understudy.learning.training.job import Job, Line, Rows
from understudy.learning.training.machine import is_recomputed
from understudy.learning.training.rows import LabelledRow
from understudy.learning.training.run_folder import RunFolder

VERBATIM = "{% for message in messages %}{{ message.content }}{% endfor %}"
"""TRL wants a template; the texts come written by the model's own already."""
_FINGERPRINT = "training.json"
_SCHEDULES = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant_with_warmup",
}


class Preferences:
    """One training from liked and disliked replies, or from pairs of replies."""

    def __init__(
        self,
        folder: RunFolder,
        job: Job,
        rows: TrainingRows,
        local: LocalModel,
        stop: Any = lambda: False,
    ) -> None:
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        self._folder = folder
        self._job = job
        self._local = local
        self._stop = stop
        self._encoder = Encoder(local, job.options.max_length)
        left_out = Counter(rows.left_out)
        self._examples = self._write(rows, left_out)
        if job.method == "kto" and self._examples:
            check_labels([example["label"] for example in self._examples])
        self.counts = Rows(
            read=rows.read,
            trained=len(self._examples),
            cut=sum(example.pop("cut") for example in self._examples),
            left_out=dict(left_out),
        )

    def learn(self, model: Any, fingerprint: dict[str, Any], *, resume: bool) -> dict[str, Any]:
        """Train the adapter of `model` and return its weights.

        Raises `TrainingStopped` with the checkpoint written, and `TrainingError`.
        """
        former = self._former(fingerprint) if resume else None
        self._begin(fingerprint, former)
        trainer = _make_trainer(self._job, self._local, model, self._examples, self._encoder,
                                self._folder.checkpoint)  # fmt: skip
        if len(trainer.train_dataset) != len(self._examples):
            raise TrainingError(
                f"TRL kept {len(trainer.train_dataset)} of {len(self._examples)} rows "
                "and did not say why: train with another version of trl"
            )
        trainer.remove_callback(require("transformers").PrinterCallback)
        trainer.add_callback(self._callback())
        trainer.train(resume_from_checkpoint=str(former) if former else None)
        if self.step < trainer.state.max_steps:
            raise TrainingStopped
        return copy_weights(model)

    def _write(self, rows: TrainingRows, left_out: Counter[str]) -> list[dict[str, Any]]:
        """The rows as TRL reads them, shuffled once: KTO compares neighbours."""
        examples: list[dict[str, Any]] = []
        for row in rows.train:
            try:
                written = self._encoder.write(row.given, *row.replies)
            except Unfit as reason:
                left_out[str(reason)] += 1
                continue
            example = _conversations(written)
            if isinstance(row, LabelledRow):
                example["label"] = row.label
            examples.append(example)
        random.Random(f"{self._job.options.seed}:rows").shuffle(examples)
        return examples

    def _begin(self, fingerprint: dict[str, Any], former: Path | None) -> None:
        self.step = int(former.name.rpartition("-")[2]) if former else 0
        lines = self._folder.cut_log(self.step)
        self.seconds = lines[-1].seconds if lines else 0.0
        path = self._folder.checkpoint / _FINGERPRINT
        write_file(path, json.dumps(fingerprint).encode())

    def _former(self, fingerprint: dict[str, Any]) -> Path | None:
        """The newest whole checkpoint; raises `TrainingError` for one of another training."""
        folder = self._folder.checkpoint
        # The state is what TRL writes last.
        whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
        if not whole:
            return None
        if json.loads((folder / _FINGERPRINT).read_text("utf-8")) != fingerprint:
            raise TrainingError(
                "the checkpoint belongs to another training: begin anew in another folder"
            )
        return max(whole, key=lambda path: int(path.name.rpartition("-")[2]))

    def _callback(self) -> Any:
        """Tells of every step, saves when it is time, and stops when asked."""
        base: type[Any] = require("transformers").TrainerCallback
        began = saved = time.monotonic()
        earlier = self.seconds
        this, minutes = self, self._job.options.checkpoint_minutes

        class Callback(base):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                nonlocal saved
                this.step = state.global_step
                this.seconds = round(time.monotonic() - began + earlier, 3)
                control.should_log = True
                if this._stop():  # pyright: ignore[reportPrivateUsage]
                    control.should_save = control.should_training_stop = True
                elif time.monotonic() - saved >= minutes * 60:
                    control.should_save = True
                    saved = time.monotonic()

            def on_log(
                self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any
            ) -> None:
                if "loss" in logs:
                    this._tell(state, logs)  # pyright: ignore[reportPrivateUsage]

        return Callback()

    def _tell(self, state: Any, logs: dict[str, Any]) -> None:
        self.tokens = int(logs.get("num_tokens", 0))
        self._folder.add(
            Line(
                step=state.global_step,
                steps=state.max_steps,
                loss=float(logs["loss"]),
                lr=float(logs.get("learning_rate", 0.0)),
                tokens=self.tokens,
                seconds=self.seconds,
            )
        )


def check_labels(labels: list[bool]) -> None:
    """Raise `TrainingError` unless there are liked and disliked replies."""
    if len(set(labels)) < 2:
        kind = "liked" if labels[0] else "disliked"
        raise TrainingError(
            f"kto needs liked and disliked replies, but all {len(labels)} are {kind}: "
            "collect the other kind, or train with sft"
        )


def balance(labels: list[bool]) -> tuple[float, float]:
    """Weights of liked and disliked rows that let both kinds count the same (KTO, eq. 8)."""
    liked = sum(labels)
    disliked = len(labels) - liked
    return max(1.0, disliked / liked), max(1.0, liked / disliked)


def batch_of(rows: int, wanted: int) -> int:
    """The rows of a KTO step: never one alone, which has no neighbour to be compared with."""
    for size in range(max(min(wanted, rows), 2), 1, -1):
        if rows % size != 1:
            return size
    return 3


def _conversations(written: Written) -> dict[str, Any]:
    prompt = [{"role": "user", "content": written.prompt}]
    replies = [[{"role": "assistant", "content": text}] for text in written.completions]
    names = ["completion"] if len(replies) == 1 else ["chosen", "rejected"]
    return {"prompt": prompt, "cut": written.cut, **dict(zip(names, replies, strict=True))}


def _make_trainer(
    job: Job,
    local: LocalModel,
    model: Any,
    examples: list[dict[str, Any]],
    encoder: Encoder,
    folder: Path,
) -> Any:
    trl, datasets = require("trl", "trl"), require("datasets", "trl")
    datasets.disable_progress_bars()
    _stay_offline()
    tokenizer = local.tokenizer
    tokenizer.chat_template = VERBATIM
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    common = _common(job, local, encoder, len(examples), folder)
    if job.method == "kto":
        liked, disliked = balance([example["label"] for example in examples])
        settings = trl.KTOConfig(**common, desirable_weight=liked, undesirable_weight=disliked)
        kind = trl.KTOTrainer
    else:
        settings = trl.DPOConfig(**common, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1.0])
        kind = trl.DPOTrainer
    rows = datasets.Dataset.from_list(examples)
    return kind(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)


def _stay_offline() -> None:
    """Whatever is needed is loaded by now; each checkpoint would ask the hub about the base."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    require("huggingface_hub.constants").HF_HUB_OFFLINE = True


def _common(
    job: Job, local: LocalModel, encoder: Encoder, rows: int, folder: Path
) -> dict[str, Any]:
    """What both methods are set to. TRL's own defaults are for full tuning on a large GPU."""
    options = job.options
    batch = batch_of(rows, options.batch_size) if job.method == "kto" else options.batch_size
    steps = -(-rows // batch) * options.epochs
    half = local.device.startswith("cuda") and local.dtype == "bfloat16"
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch,
        "num_train_epochs": options.epochs,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": _SCHEDULES[options.decay],
        "warmup_steps": round(steps * options.warmup),
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.clip,
        "max_length": encoder.max_length,
        "beta": options.beta,
        "bf16": half,
        "use_cpu": local.device == "cpu",
        "gradient_checkpointing": is_recomputed(local, options, batch * encoder.max_length),
        "seed": options.seed,
        "save_strategy": "no",
        "save_total_limit": 2,
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": local.device != "cpu",
    }
