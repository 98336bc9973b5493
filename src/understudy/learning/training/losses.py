"""The loss of rows under a model.

Owns the tensors of a pass and what is computed from them. Does not own which rows those are
(`packing`) nor what is done with the loss (`loop`).
"""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from understudy.learning.training.encoding import Example
from understudy.learning.training.errors import require
from understudy.learning.training.packing import Shape, passes

_NOT_TRAINED = -100


class RowLoss(msgspec.Struct, frozen=True):
    """How well a model says a reply: summed nats over its tokens."""

    nats: float
    tokens: int


class Losses:
    """Computes losses with `model`, which may be wrapped by PEFT, on `device`."""

    def __init__(self, model: Any, device: str, *, packed: bool) -> None:
        self._torch = require("torch")
        self._model = model
        self._device = device
        self._packed = packed
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._keeps = "logits_to_keep" in inspect.signature(base.forward).parameters

    def of_pass(self, examples: Sequence[Example]) -> tuple[Any, list[int]]:
        """Nats of every trained token, row after row, and how many each row has."""
        inputs, positions, targets = (
            self._packed_inputs(examples) if self._packed else (self._padded_inputs(examples))
        )
        options: dict[str, Any] = {"logits_to_keep": positions} if self._keeps else {}
        logits = self._model(**inputs, use_cache=False, **options).logits
        if not self._keeps:
            logits = logits[:, positions]
        wanted = targets != _NOT_TRAINED
        nats = self._torch.nn.functional.cross_entropy(
            logits[wanted].float(), targets[wanted], reduction="none"
        )
        return nats, [example.trained for example in examples]

    def of_rows(self, examples: Sequence[Example], shape: Shape) -> list[RowLoss]:
        """The loss of each of `examples`, in their order, without gradients."""
        lengths = [len(example.tokens) for example in examples]
        found: dict[int, RowLoss] = {}
        was_training = self._model.training
        self._model.eval()
        with self._torch.inference_mode():
            for rows in passes(range(len(examples)), lengths, shape):
                nats, counts = self.of_pass([examples[row] for row in rows])
                for row, part in zip(rows, nats.split(counts), strict=True):
                    found[row] = RowLoss(float(part.sum()), len(part))
        self._model.train(was_training)
        return [found[row] for row in range(len(examples))]

    def _tensor(self, values: list[list[int]]) -> Any:
        return self._torch.tensor(values, device=self._device)

    def _padded_inputs(self, examples: Sequence[Example]) -> tuple[dict[str, Any], Any, Any]:
        """One row of the tensor each; only the positions that some row needs get logits."""
        width = max(len(example.tokens) for example in examples)
        first = min(example.start for example in examples) - 1
        inputs: dict[str, Any] = {
            "input_ids": self._tensor(
                [example.tokens + [0] * (width - len(example.tokens)) for example in examples]
            )
        }
        if any(len(example.tokens) < width for example in examples):
            inputs["attention_mask"] = self._tensor(
                [[1] * len(e.tokens) + [0] * (width - len(e.tokens)) for e in examples]
            )
        targets = [
            [_NOT_TRAINED] * (example.start - 1 - first)
            + example.tokens[example.start :]
            + [_NOT_TRAINED] * (width - len(example.tokens))
            for example in examples
        ]
        positions = self._torch.arange(first, width - 1, device=self._device)
        return inputs, positions, self._tensor(targets)

    def _packed_inputs(self, examples: Sequence[Example]) -> tuple[dict[str, Any], Any, Any]:
        """One row of the tensor for all: positions that begin anew keep the rows apart."""
        tokens: list[int] = []
        counted: list[int] = []
        positions: list[int] = []
        targets: list[int] = []
        for example in examples:
            begin = len(tokens)
            tokens += example.tokens
            counted += range(len(example.tokens))
            positions += range(begin + example.start - 1, len(tokens) - 1)
            targets += example.tokens[example.start :]
        inputs = {"input_ids": self._tensor([tokens]), "position_ids": self._tensor([counted])}
        kept = self._torch.tensor(positions, device=self._device)
        return inputs, kept, self._tensor([targets])
