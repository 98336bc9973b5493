"""LoRA versions of a real tiny model, loaded, used and unloaded while replies run."""

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import build_adapter, build_model
from understudy.brains.base import BrainError, BrainRequest, Text
from understudy.brains.huggingface import BASE, HuggingFaceBrain

Say = Callable[..., Any]
ROUNDS = 100


@pytest.fixture
async def versions(brain: HuggingFaceBrain, models: Path) -> HuggingFaceBrain:
    """The brain with two versions beside its base; dots in names are usual."""
    await brain.load("v1.0", models / "one")
    await brain.load("v2.0", models / "two")
    return brain


async def test_two_versions_at_once_write_exactly_what_each_writes_alone(
    versions: HuggingFaceBrain, say: Say
):
    alone = [await say(versions, version=name) for name in ("v1.0", "v2.0")]
    assert len({*alone, await say(versions)}) == 3
    for _ in range(ROUNDS):
        asked = [say(versions, version=name) for name in ("v1.0", "v2.0")]
        assert await asyncio.gather(*asked) == alone


async def test_versions_mix_freely_among_many_replies(versions: HuggingFaceBrain, say: Say):
    pairs = [(f"q{n} " * (n % 4 + 1), name) for n, name in enumerate(["v1.0", BASE, "v2.0"] * 4)]
    alone = [await say(versions, text, name) for text, name in pairs]
    assert await asyncio.gather(*[say(versions, text, name) for text, name in pairs]) == alone


async def test_loading_and_promoting_in_the_middle_changes_no_running_reply(
    brain: HuggingFaceBrain, say: Say, question: Callable[..., BrainRequest], models: Path
):
    alone = await say(brain, max_tokens=300)
    said: list[str] = []
    async with aclosing(brain.stream(question(max_tokens=300))) as events:
        said.append((await anext(events)).text)
        await brain.load("v1", models / "one")
        brain.promote("v1")
        assert brain._engine.rows == 1, "the reply ended before the version came"
        said += [event.text async for event in events if isinstance(event, Text)]
    assert "".join(said) == alone
    assert await say(brain, max_tokens=300) != alone


async def test_new_replies_get_the_promoted_version_and_it_can_be_rolled_back(
    versions: HuggingFaceBrain, say: Say
):
    base = await say(versions)
    first = await say(versions, version="v1.0")
    versions.promote("v1.0")
    assert await say(versions) == first
    assert "version v1.0" in versions.describe()
    assert versions.model.endswith("@v1.0")
    versions.promote(BASE)
    assert await say(versions) == base


async def test_unloading_waits_for_the_replies_of_the_version(
    versions: HuggingFaceBrain, say: Say, question: Callable[..., BrainRequest]
):
    async with aclosing(versions.stream(question(max_tokens=4_000), "v1.0")) as events:
        await anext(events)
        unloading = asyncio.create_task(versions.unload("v1.0"))
        assert await say(versions, version="v2.0")
        assert not unloading.done()
        assert versions.versions() == [BASE, "v2.0"]
        with pytest.raises(BrainError, match=r"version 'v1\.0' is not loaded"):
            await say(versions, version="v1.0")
    await unloading


async def test_unloading_that_nobody_waits_for_is_done_all_the_same(
    versions: HuggingFaceBrain, say: Say, question: Callable[..., BrainRequest], models: Path
):
    async with aclosing(versions.stream(question(max_tokens=4_000), "v1.0")) as events:
        await anext(events)
        unloading = asyncio.create_task(versions.unload("v1.0"))
        await asyncio.sleep(0)
        unloading.cancel()
        await asyncio.wait([unloading])
    await say(versions)
    await versions.load("v1.0", models / "one")


async def test_versions_come_and_go_and_the_base_stays_as_it_was(
    brain: HuggingFaceBrain, say: Say, models: Path
):
    base = await say(brain)
    texts: list[str] = []
    for number in range(3):
        await brain.load(f"v{number}", models / "one")
        texts.append(await say(brain, version=f"v{number}"))
        await brain.unload(f"v{number}")
    assert brain.versions() == [BASE]
    assert await say(brain) == base
    assert len(set(texts)) == 1
    assert texts[0] != base


async def test_the_version_of_new_replies_cannot_be_unloaded(versions: HuggingFaceBrain):
    versions.promote("v1.0")
    with pytest.raises(BrainError, match="promote another first"):
        await versions.unload("v1.0")


async def test_a_name_is_never_loaded_twice(versions: HuggingFaceBrain, models: Path):
    with pytest.raises(BrainError, match="loaded already") as caught:
        await versions.load("v1.0", models / "two")
    assert caught.value.kind == "refused"


async def test_the_same_new_name_at_once_is_loaded_once(brain: HuggingFaceBrain, models: Path):
    both = [brain.load("v1", models / name) for name in ("one", "two")]
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert first is None
    assert "loaded already" in str(second)


async def test_a_folder_without_an_adapter(brain: HuggingFaceBrain, tmp_path: Path):
    with pytest.raises(BrainError, match=r"holds no adapter \(adapter_config.json is not there\)"):
        await brain.load("v1", tmp_path)
    assert brain.versions() == [BASE]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"peft_type": "IA3"}, "use LoRA without biases"),
        ({"peft_type": "LORA", "bias": "all"}, "use LoRA without biases"),
        (["not", "an", "object"], "cannot be read: export the adapter again"),
        ("not json at all", "cannot be read: export the adapter again"),
    ],
)
async def test_a_config_that_cannot_be_used(
    brain: HuggingFaceBrain, models: Path, tmp_path: Path, config: Any, words: str
):
    folder = shutil.copytree(models / "one", tmp_path / "adapter")
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(BrainError, match=words):
        await brain.load("v1", folder)


@pytest.mark.parametrize("others", [0, 1])
async def test_an_adapter_of_another_model_leaves_no_trace(
    brain: HuggingFaceBrain, say: Say, models: Path, tmp_path: Path, others: int
):
    base = await say(brain)
    if others:
        await brain.load("v1", models / "one")
    first = await say(brain, version=brain.versions()[-1])
    other = build_model(tmp_path / "other", hidden=96)
    for target in ("q_proj", "gate_proj"):
        bad = build_adapter(other, tmp_path / target, seed=1, targets=[target])
        with pytest.raises(BrainError, match="load one that was trained on this model"):
            await brain.load("v9", bad)
    assert "v9" not in brain.versions()
    assert await say(brain) == base
    assert await say(brain, version=brain.versions()[-1]) == first


async def test_weights_without_a_place_are_refused(
    brain: HuggingFaceBrain, models: Path, tmp_path: Path
):
    deep = build_model(tmp_path / "deep", layers=4)
    bad = build_adapter(deep, tmp_path / "adapter", seed=1)
    with pytest.raises(BrainError, match="does not fit"):
        await brain.load("v1", bad)
