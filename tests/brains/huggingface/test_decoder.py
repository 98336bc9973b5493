"""The numerics: rows in company compute the same bits as alone."""

from pathlib import Path
from typing import Any

import pytest

from understudy.brains.huggingface.decoder import CPU_BLOCK, Decoder
from understudy.brains.huggingface.loading import LoadOptions, load_model

torch = pytest.importorskip("torch", reason="understudy[huggingface] is missing")


@pytest.fixture
def load(models: Path):
    def load_with(**options: Any) -> Any:
        return load_model(LoadOptions(model=str(models / "base"), device="cpu", **options))

    return load_with


def scores(decoder: Decoder, prompts: list[list[int]], steps: int = 6) -> Any:
    """The scores of greedy steps over `prompts`: prompts x steps x vocabulary."""
    with torch.inference_mode():
        caches = [decoder.new_cache() for _ in prompts]
        rows = [decoder.read(p, c) for p, c in zip(prompts, caches, strict=True)]
        tokens = [int(row.argmax()) for row in rows]
        found = []
        for _ in range(steps):
            found.append(decoder.step(tokens, caches))
            tokens = found[-1].argmax(-1).tolist()
        return torch.stack(found, dim=1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_computes_the_same_bits_in_any_company(load: Any, dtype: str):
    decoder = Decoder(load(dtype=dtype), 8)
    prompts = [[(5 * row + place) % 300 for place in range(9 * row + 1)] for row in range(8)]
    assert decoder.width == 8
    together = scores(decoder, prompts)
    for row, prompt in enumerate(prompts):
        assert torch.equal(scores(decoder, [prompt])[0], together[row])
    assert torch.equal(scores(decoder, prompts[::-1]), together.flip(0))


def test_rows_together_compute_what_transformers_computes(load: Any):
    prompts = [[1, 2, 3], [4] * 40]
    ours = scores(Decoder(load(dtype="float32"), 8), prompts)
    theirs = scores(Decoder(load(dtype="float32"), 1), prompts)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_width_is_measured(load: Any):
    assert Decoder(load(dtype="float32")).width in {1, 8}


def test_a_model_whose_rows_are_not_independent_is_stepped_row_by_row(load: Any):
    local = load(dtype="float32")

    def mix(module: Any, arguments: Any, output: Any) -> Any:
        # As a model does whose layers look at the whole batch.
        return output + output.mean(0, keepdim=True)

    local.model.model.embed_tokens.register_forward_hook(mix)
    assert Decoder(local, 8).width == 1
    assert local.model.config._attn_implementation == "sdpa"


def test_a_model_that_cannot_take_rows_together_is_stepped_row_by_row(load: Any):
    local = load(dtype="float32")

    def refuse(module: Any, arguments: Any) -> None:
        if arguments[0].shape[0] > 1:
            raise ValueError("one at a time")

    local.model.model.embed_tokens.register_forward_pre_hook(refuse)
    decoder = Decoder(local, 8)
    assert decoder.width == 1
    assert scores(decoder, [[1, 2], [3]]).shape[0] == 2


def test_a_prompt_is_read_in_blocks_unless_the_model_has_a_running_state(load: Any):
    decoder = Decoder(load(dtype="float32"), 1)
    assert decoder.block(decoder.new_cache()) == CPU_BLOCK

    class WithState:
        is_linear = (False, True)

    assert decoder.block(WithState()) is None
