"""What the thread that owns the model does when something breaks, and how it ends."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from understudy.brains.base import BrainError, BrainRequest
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, load_model

Say = Callable[..., Any]
MakeBrain = Callable[..., HuggingFaceBrain]


@pytest.fixture
def broken(models: Path) -> Callable[[Exception], Callable[[], Any]]:
    """A loader of the real model whose second forward pass in company fails once."""

    def make(error: Exception) -> Callable[[], Any]:
        def load() -> Any:
            options = LoadOptions(model=str(models / "base"), device="cpu", dtype="float32")
            local = load_model(options)
            errors = [error]

            def fail(module: Any, arguments: Any, named: dict[str, Any]) -> None:
                # A failure within the pass: the first layer's caches have grown already.
                if local.model.armed and errors:
                    raise errors.pop()

            local.model.armed = False
            local.model.model.layers[1].register_forward_pre_hook(fail, with_kwargs=True)
            return local

        return load

    return make


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("RuntimeError", "failed", "broke down: details are in the log"),
        ("MemoryError", "overloaded", "ran out of memory"),
        ("OutOfMemoryError", "overloaded", "ran out of memory"),
    ],
)
@pytest.mark.parametrize("width", [1, 8])
async def test_a_failed_step_fails_its_replies_and_the_thread_lives_on(
    make_brain: MakeBrain, say: Say, broken: Any, name: str, kind: str, words: str, width: int
):
    import torch

    errors = {"OutOfMemoryError": torch.OutOfMemoryError, "MemoryError": MemoryError}
    brain = make_brain(load=broken(errors.get(name, RuntimeError)("boom")), width=width)
    alone = await say(brain)
    brain._engine.loaded.model.armed = True
    told = await asyncio.gather(say(brain), say(brain), return_exceptions=True)
    failed = [error for error in told if isinstance(error, BrainError)]
    assert failed
    assert {error.kind for error in failed} == {kind}
    assert all(words in str(error) for error in failed)
    assert await say(brain) == alone
    assert brain._engine.versions.is_free("base")


async def test_an_adapter_that_computes_no_numbers_harms_nobody_else(
    brain: HuggingFaceBrain, say: Say, models: Path, tmp_path: Path
):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(models / "one", tmp_path / "nan")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {name: weight * float("nan") for name, weight in weights.items()},
        folder / "adapter_model.safetensors",
    )
    alone = await say(brain)
    await brain.load("nan", folder)
    asked = [say(brain, version="nan"), say(brain), say(brain, version="nan")]
    first, good, last = await asyncio.gather(*asked, return_exceptions=True)
    assert good == alone
    assert "computed no numbers" in str(first)
    assert "computed no numbers" in str(last)


async def test_a_template_that_fails_fails_only_its_reply(brain: HuggingFaceBrain, say: Say):
    alone = await say(brain)
    tokenizer = brain._engine.loaded.tokenizer
    own, tokenizer.chat_template = tokenizer.chat_template, "{{ raise_exception('no') }}"
    with pytest.raises(BrainError, match="chat template"):
        await say(brain)
    tokenizer.chat_template = own
    assert await say(brain) == alone


async def test_closing_ends_replies_the_queue_and_the_thread(
    make_brain: MakeBrain, say: Say, question: Callable[..., BrainRequest], models: Path
):
    brain = make_brain(rows=1)
    await brain.load("v1", models / "one")
    async with aclosing(brain.stream(question(max_tokens=4_000), "v1")) as events:
        await anext(events)
        waits = asyncio.create_task(say(brain))
        unloading = asyncio.create_task(brain.unload("v1"))
        await asyncio.sleep(0)
        await brain.aclose()
        with pytest.raises(BrainError, match="shut down") as caught:
            async for _ in events:
                pass
        assert caught.value.kind == "unavailable"
        for task in (waits, unloading):
            with pytest.raises(BrainError, match="shut down"):
                await task
    assert not brain._engine._thread.is_alive()
    with pytest.raises(BrainError, match="shut down"):
        await brain.load("v2", models / "two")


async def test_a_loader_that_breaks_down_is_told_to_everyone(
    make_brain: MakeBrain, say: Say, models: Path
):
    def load() -> Any:
        raise ZeroDivisionError

    brain = make_brain(load=load)
    asked = [say(brain), brain.load("v1", models / "one")]
    for error in await asyncio.gather(*asked, return_exceptions=True):
        assert "broke down: details are in the log" in str(error)


def test_a_reply_whose_event_loop_is_gone_ends(
    models: Path, question: Callable[..., BrainRequest], say: Say
):
    options = LoadOptions(model=str(models / "base"), device="cpu", dtype="float32")
    engine = Engine(partial(load_model, options), rows=1, width=8)
    brain = HuggingFaceBrain(options, engine)
    kept: list[Any] = []

    async def leave() -> None:
        kept.append(brain.stream(question(max_tokens=4_000)))
        await anext(kept[0])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    # With one row this reply can only be written after the abandoned one has gone.
    assert asyncio.run(say(brain, max_tokens=4))
    engine.close()
    # The abandoned generator is closed by hand: its loop is not there to do it.
    with pytest.raises(StopIteration):
        kept[0].aclose().send(None)


async def test_a_load_that_takes_long_does_not_hold_up_the_end(
    make_brain: MakeBrain, say: Say, caplog: pytest.LogCaptureFixture
):
    import threading

    began, go_on = threading.Event(), threading.Event()

    def load() -> Any:
        began.set()
        go_on.wait()
        raise BrainError("no model")

    brain = make_brain(load=load)
    asked = asyncio.create_task(say(brain))
    await until(began.is_set)
    await asyncio.to_thread(brain._engine.close, 0.01)
    assert "still loading: it ends with the process" in caplog.text
    go_on.set()
    with pytest.raises(BrainError, match="no model"):
        await asked
