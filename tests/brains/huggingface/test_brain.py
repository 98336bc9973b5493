"""Replies of a real tiny model: what they say, in any company, and how they end."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tiny_model import build_model
from understudy.brains.base import BrainError, BrainMessage, BrainRequest, Finish, Text, Usage
from understudy.brains.huggingface import HuggingFaceBrain, make_huggingface
from understudy.config import BrainSettings

Say = Callable[..., Any]
MakeBrain = Callable[..., HuggingFaceBrain]
LONG = 4_000
"""Tokens of a reply that is still being written when a test is done with it."""


def generated(folder: Path, text: str, tokens: int) -> str:
    """What transformers itself writes: the greedy reply to `text`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = model.generate(**prompt, max_new_tokens=tokens, do_sample=False)
    new = output[0, prompt["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True).rstrip("\ufffd")


@pytest.mark.parametrize("width", [1, 8])
async def test_a_greedy_reply_is_what_transformers_writes(
    make_brain: MakeBrain, say: Say, models: Path, width: int
):
    brain = make_brain(width=width)
    # One prompt is longer than what is read at once.
    for text in ("hello", "tell me more " * 60):
        assert await say(brain, text, max_tokens=30) == generated(models / "base", text, 30)


async def test_a_reply_streams_and_ends_with_its_reason_and_usage(
    brain: HuggingFaceBrain, question: Callable[..., BrainRequest]
):
    events = [event async for event in brain.stream(question(max_tokens=20))]
    *texts, finish, usage = events
    assert len(texts) > 1
    assert all(isinstance(event, Text) and event.text for event in texts)
    assert finish == Finish("length")
    assert isinstance(usage, Usage)
    assert (usage.output_tokens, usage.input_tokens > 5) == (20, True)


async def test_eight_replies_at_once_are_what_each_is_alone(brain: HuggingFaceBrain, say: Say):
    questions = [f"question {number} " * (number + 1) for number in range(8)]
    alone = [await say(brain, text) for text in questions]
    assert await asyncio.gather(*[say(brain, text) for text in questions]) == alone
    assert len(set(alone)) > 1


async def test_eight_replies_are_written_at_the_same_time(
    brain: HuggingFaceBrain, question: Callable[..., BrainRequest]
):
    async with AsyncExitStack() as stack:
        for number in range(8):
            reply = brain.stream(question(f"q{number}", max_tokens=LONG))
            assert isinstance(await anext(await stack.enter_async_context(aclosing(reply))), Text)
        assert brain._engine.rows == 8


async def test_more_replies_than_rows_wait_their_turn(make_brain: MakeBrain, say: Say):
    brain = make_brain(rows=2)
    alone = [await say(brain, f"q{number}", max_tokens=6) for number in range(7)]
    asked = [say(brain, f"q{number}", max_tokens=6) for number in range(7)]
    assert await asyncio.gather(*asked) == alone


async def test_the_same_seed_draws_the_same_words(brain: HuggingFaceBrain, say: Say):
    async def drawn(seed: int | None) -> str:
        return await say(brain, temperature=1.5, max_tokens=12, seed=seed)

    assert await drawn(7) == await drawn(7) != await drawn(8)
    assert await drawn(None) != await drawn(None)


async def test_drawn_replies_differ_and_keep_to_their_length(brain: HuggingFaceBrain, say: Say):
    asked = [say(brain, temperature=1.5, top_p=0.95, max_tokens=12) for _ in range(4)]
    assert len(set(await asyncio.gather(*asked))) > 1


async def test_a_reply_ends_before_a_stop_string(
    brain: HuggingFaceBrain, say: Say, question: Callable[..., BrainRequest]
):
    whole = await say(brain)
    stop = whole[5:9]
    assert await say(brain, stop=[stop, "never written"]) == whole[: whole.index(stop)]
    events = [event async for event in brain.stream(question(stop=[stop]))]
    assert Finish("stop") in events


async def test_the_models_end_token_ends_a_reply(
    brain: HuggingFaceBrain, say: Say, question: Callable[..., BrainRequest], models: Path
):
    whole = await say(brain)
    local = brain._engine.loaded
    assert local is not None
    tokens = local.tokenizer.encode(whole, add_special_tokens=False)
    ends = msgspec.structs.replace(local, end_tokens=frozenset(tokens[3:]))
    brain._engine._runtime.local = ends
    events = [event async for event in brain.stream(question())]
    assert Finish("stop") in events
    said = "".join(event.text for event in events if isinstance(event, Text))
    assert whole.startswith(said)
    assert len(said) < len(whole)


async def test_closing_a_reply_frees_its_row(
    make_brain: MakeBrain, say: Say, question: Callable[..., BrainRequest]
):
    brain = make_brain(rows=1)
    async with aclosing(brain.stream(question(max_tokens=LONG))) as events:
        assert isinstance(await anext(events), Text)
    # With one row, the next reply could not begin while the first goes on.
    assert await say(brain, max_tokens=4)
    assert brain._engine.rows == 0
    assert brain._engine.versions.is_free("base")


async def test_a_cancelled_task_gives_up_its_place_in_the_queue(
    make_brain: MakeBrain, say: Say, question: Callable[..., BrainRequest]
):
    brain = make_brain(rows=1, waiting=1)
    async with aclosing(brain.stream(question(max_tokens=LONG))) as events:
        await anext(events)
        waits = asyncio.create_task(say(brain, "second"))
        await asyncio.sleep(0)
        with pytest.raises(BrainError, match="1 replies wait for the local model") as caught:
            await say(brain, "third")
        assert caught.value.kind == "overloaded"
        waits.cancel()
        await asyncio.wait([waits])
        fourth = asyncio.create_task(say(brain, "fourth", max_tokens=4))
        await asyncio.sleep(0)
    assert await fourth


async def test_a_prompt_that_does_not_fit_the_window(
    brain: HuggingFaceBrain, say: Say, question: Callable[..., BrainRequest]
):
    with pytest.raises(BrainError, match="the model reads less than 4096: shorten it") as caught:
        await say(brain, "far too long " * 1_000)
    assert caught.value.kind == "context_too_long"
    assert await say(brain)


async def test_a_reply_ends_where_the_window_ends(make_brain: MakeBrain, tmp_path: Path):
    brain = make_brain(build_model(tmp_path, window=32))
    request = BrainRequest(messages=[BrainMessage("user", "hi")], temperature=0.0)
    *_, finish, usage = [event async for event in brain.stream(request)]
    assert finish == Finish("length")
    assert isinstance(usage, Usage)
    assert usage.input_tokens + usage.output_tokens == 32


async def test_settings_make_a_brain_that_loads_when_it_is_asked(
    models: Path, say: Say, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    settings = BrainSettings(provider="huggingface", model=str(models / "base"), device="cpu")
    brain = make_huggingface(settings, None)
    assert isinstance(brain, HuggingFaceBrain)
    assert "loaded when first asked" in brain.describe()
    assert await say(brain)
    assert "on cpu in" in brain.describe()
    assert "version base" in brain.describe()
    assert "loading the local model" in caplog.text
    assert "loaded the local model in" in caplog.text
    await brain.aclose()
    with pytest.raises(BrainError, match="shut down"):
        await say(brain)


async def test_without_a_model_setting_the_default_is_taken():
    brain = make_huggingface(BrainSettings(provider="huggingface"), None)
    assert brain.model == "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
    await brain.aclose()


async def test_a_model_that_cannot_be_loaded_is_tried_again_by_the_next_request(
    make_brain: MakeBrain, say: Say, tmp_path: Path
):
    brain = make_brain(tmp_path / "later")
    asked = await asyncio.gather(say(brain), say(brain), return_exceptions=True)
    assert all("is not there: check brain.model" in str(error) for error in asked)
    build_model(tmp_path / "later")
    assert await say(brain)
