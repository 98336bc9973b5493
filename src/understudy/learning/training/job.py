"""What is asked of a training, and what came of it.

Owns the words of `job.json`, `log.jsonl` and `result.json`. Does not own the folder they lie in
(`run_folder`) nor who acts on them (`trainer`).
"""

from typing import Annotated, Any, Literal

import msgspec

from understudy.learning.training.base_model import BaseModel

Method = Literal["sft", "kto", "dpo"]
State = Literal["done", "failed", "stopped"]

Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]

RATES: dict[Method, float] = {"sft": 3e-4, "kto": 2e-5, "dpo": 2e-5}
"""LoRA wants about ten times the rate of full tuning (Schulman 2025, LoRA Without Regret)."""

_NOT_SEEN = {"device", "checkpoint_minutes", "tokens_per_pass"}
"""Options that change where and how a training runs, not what it learns."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to train. The defaults suit a chat's few hundred to few thousand rows."""

    epochs: Positive = 3
    learning_rate: Amount = 0.0
    """Peak; 0 = what suits the method (`RATES`)."""
    warmup: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    """Share of the steps in which the rate rises."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Amount = 0.0
    clip: Amount = 1.0
    """Largest norm of a step's gradient."""
    rank: Positive = 16
    alpha: Positive = 32
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    batch_size: Positive = 16
    """Rows of a step."""
    tokens_per_pass: Count = 0
    """Most tokens that go through the model at once; 0 suits the device."""
    max_length: Count = 0
    """Most tokens of a row; 0 = 2048, or what the model can read when that is less."""
    patience: Count = 2
    """Evaluations without a better held-out loss before it stops; 0 = never."""
    evaluate_steps: Count = 0
    """Steps between evaluations; 0 = one evaluation an epoch."""
    seed: int = 0
    checkpoint_minutes: Amount = 5.0
    packing: Literal["auto", "on", "off"] = "auto"
    """Auto packs on a GPU."""
    recompute: Literal["auto", "on", "off"] = "auto"
    """Gradient checkpointing: less memory for a third more time; auto where memory is short."""
    quantization: Literal["none", "4bit"] = "none"
    """Of the base while it trains (QLoRA); needs an NVIDIA GPU and bitsandbytes."""
    device: str = "auto"
    beta: Amount = 0.1
    """KTO and DPO: how far the model may go from its base; smaller is further."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A training: what to learn from, which base, and how."""

    data: str
    """A dataset folder or a JSONL file."""
    base: str
    """A model folder, or the id of a model."""
    start: str = ""
    """The folder of an adapter of the base to go on from; empty: from the base itself."""
    method: Method = "sft"
    old: str = ""
    """With a file: a JSONL file of older rows to mix in. A dataset is mixed already."""
    replay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.25
    """Share of the older rows among all."""
    options: Options = Options()

    @property
    def learning_rate(self) -> float:
        """The peak of the learning rate."""
        return self.options.learning_rate or RATES[self.method]

    def seen(self) -> dict[str, Any]:
        """What the outcome depends on besides the data and the base."""
        known: dict[str, Any] = msgspec.to_builtins(self.options)
        options = {name: value for name, value in known.items() if name not in _NOT_SEEN}
        asked = {"method": self.method, "replay": self.replay, "start": self.start}
        return {**asked, **options, "learning_rate": self.learning_rate}


class Line(msgspec.Struct, frozen=True):
    """A step, as it stands in `log.jsonl`. Tokens and seconds are since the training began."""

    step: int
    loss: float
    """Nats per trained token, weighted, of this step's rows; or the loss of the method."""
    steps: int = 0
    lr: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    held_out: float | None = None
    """Nats per token of the held-out rows after this step, where it was measured."""


class Losses(msgspec.Struct, frozen=True):
    """Nats per token: first and last step, and held-out rows before and after."""

    first: float | None = None
    last: float | None = None
    held_out_before: float | None = None
    held_out_after: float | None = None


class Rows(msgspec.Struct, frozen=True):
    """What became of the rows: `read` = `trained` + `held_out` + all that was left out."""

    read: int = 0
    trained: int = 0
    held_out: int = 0
    old: int = 0
    """Of the trained: older rows."""
    cut: int = 0
    """Of the trained: rows whose history was shortened."""
    left_out: dict[str, int] = {}


class Tokens(msgspec.Struct, frozen=True):
    """Tokens that went through the model while it was trained, and those the loss was over."""

    seen: int = 0
    trained: int = 0
    padding: float = 0.0
    """Share of what was computed that was padding."""


class DatasetIdentity(msgspec.Struct, frozen=True):
    """Which rows: the dataset's id (or the file's name) and a hash of the files."""

    id: str
    hash: str


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a training, as it stands in `result.json`."""

    state: State
    method: str
    error: str = ""
    """One sentence when it failed or was stopped."""
    steps: int = 0
    best_step: int = 0
    """The step whose weights were kept."""
    losses: Losses = Losses()
    rows: Rows = Rows()
    tokens: Tokens = Tokens()
    base: BaseModel = BaseModel("", "")
    start: str = ""
    """The hash of the adapter that was gone on from; empty when it was the base."""
    dataset: DatasetIdentity = DatasetIdentity("", "")
    adapter_hash: str = ""
    seconds: float = 0.0
    device: str = ""
