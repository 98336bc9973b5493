"""The loss of a row is the same however it is computed."""

import random
from pathlib import Path
from typing import Any

import pytest

from understudy.brains.huggingface.loading import LoadOptions, LocalModel, load_model
from understudy.learning.training.encoding import Example
from understudy.learning.training.job import Options
from understudy.learning.training.loop import Machine
from understudy.learning.training.losses import Losses
from understudy.learning.training.machine import (
    activation_bytes,
    choose_machine,
    is_recomputed,
    packs_exactly,
)
from understudy.learning.training.packing import Shape


@pytest.fixture(scope="module")
def local(base: Path) -> LocalModel:
    return load_model(LoadOptions(model=str(base), device="cpu", dtype="float32"))


@pytest.fixture
def examples() -> list[Example]:
    chance = random.Random(3)
    made: list[Example] = []
    for length in (12, 40, 7, 25, 40):
        tokens = [chance.randrange(5, 300) for _ in range(length)]
        made.append(Example(tokens, chance.randrange(1, length - 2)))
    return made


def reference(local: LocalModel, example: Example) -> float:
    """The loss by the model's own reckoning: the mean over the labels."""
    import torch

    labels = [-100] * example.start + example.tokens[example.start :]
    with torch.inference_mode():
        output = local.model(
            input_ids=torch.tensor([example.tokens]), labels=torch.tensor([labels])
        )
    return float(output.loss) * example.trained


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("tokens", [1, 90, 1000])
def test_a_row_has_the_loss_it_has_alone(
    local: LocalModel, examples: list[Example], packed: bool, tokens: int
) -> None:
    losses = Losses(local.model, "cpu", packed=packed)
    found = losses.of_rows(examples, Shape(16, tokens, packed))
    assert [row.tokens for row in found] == [example.trained for example in examples]
    expected = [reference(local, example) for example in examples]
    assert [row.nats for row in found] == pytest.approx(expected, abs=1e-3)


def test_a_model_that_cannot_leave_logits_out(
    local: LocalModel, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [reference(local, example) for example in examples]
    forward = local.model.forward

    def whole(input_ids: Any, attention_mask: Any = None, use_cache: bool = False) -> Any:
        return forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    monkeypatch.setattr(local.model, "forward", whole)
    found = Losses(local.model, "cpu", packed=False).of_rows(examples, Shape(16, 1000, False))
    assert [row.nats for row in found] == pytest.approx(expected, abs=1e-3)


def test_packing_is_tried_before_it_is_used(
    local: LocalModel, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine("cpu", Shape(4, 100, True))
    assert packs_exactly(local.model, machine, examples)
    options = Options(packing="on")
    assert choose_machine(local, local.model, options, examples).shape.packed
    forward = local.model.forward

    def leaking(position_ids: Any = None, **inputs: Any) -> Any:
        return forward(**inputs)

    monkeypatch.setattr(local.model, "forward", leaking)
    assert not packs_exactly(local.model, machine, examples)
    assert not choose_machine(local, local.model, options, examples).shape.packed


def test_memory_is_spared_where_it_is_short(local: LocalModel) -> None:
    assert not is_recomputed(local, Options(), 8192)
    assert is_recomputed(local, Options(recompute="on"), 8192)
    config = local.model.config
    assert activation_bytes(config, 2000) == 2 * activation_bytes(config, 1000)
    assert activation_bytes(config, 1) == 34 * 64 * 2 + 8 * config.vocab_size
