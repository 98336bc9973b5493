"""Going back while replies stream: a real model, real adapters, and the deployments between."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from tests.learning.versions.conftest import BETTER, GOOD
from tests.learning.versions.small_world import base_model, run_on, write_dataset
from tests.waiting import until
from understudy.brains.base import BrainMessage, BrainRequest, Text
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, load_model
from understudy.learning.rollout.choice import VersionChoice
from understudy.learning.rollout.follower import DeploymentFollower
from understudy.learning.serving.local import LocallyServed
from understudy.learning.versions.deploying import Deploying, Override
from understudy.learning.versions.registry import Registry
from understudy.storage.engine import Database
from understudy.storage.versions import ModelVersions

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
OLGA = Override("olga", "for the test")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """With all@1 and all@2, of two tastes."""
    base = base_model(tmp_path / "base")
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    registry = Registry(tmp_path / "models", ModelVersions(database))
    for name, taste in ((GOOD, "so good"), (BETTER, "really a bit too hot")):
        dataset = write_dataset(tmp_path / name, taste=taste, train=64, val=8)
        run_on(base, dataset, tmp_path / f"run-{name}", epochs=4)
        await registry.register(tmp_path / f"run-{name}")
    yield registry
    await database.close()


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[HuggingFaceBrain]:
    options = LoadOptions(model=str(tmp_path / "base"), device="cpu", dtype="float32")
    brain = HuggingFaceBrain(options, Engine(partial(load_model, options), width=8))
    yield brain
    await brain.aclose()


async def test_back_within_a_look_while_a_reply_streams(
    registry: Registry, brain: HuggingFaceBrain
) -> None:
    choice, deploying = VersionChoice(), Deploying(registry)
    follower = DeploymentFollower(registry, LocallyServed(brain), choice, poll_seconds=0.01)
    request = BrainRequest(
        messages=[BrainMessage("user", "what about lava 3")], temperature=0.0, max_tokens=40
    )

    async def answer() -> str:
        events = brain.stream(request, choice.choose("ada", "bob"))
        return "".join([event.text async for event in events if isinstance(event, Text)])

    follower.start()
    await deploying.promote("all@1", actor="olga", override=OLGA)
    await until(lambda: choice.choose("ada", "bob") == "all@1")
    before = await answer()
    await deploying.promote("all@2", actor="olga", override=OLGA)
    await until(lambda: choice.choose("ada", "bob") == "all@2")
    after = await answer()
    assert before != after
    async with aclosing(brain.stream(request, choice.choose("ada", "bob"))) as events:
        said = [event.text async for event in _first(events, 2)]
        await deploying.roll_back(actor="olga", reason="too hot")
        await until(lambda: choice.choose("ada", "bob") == "all@1")
        # A new reply has the former version while the old one goes on with its own.
        assert await answer() == before
        said += [event.text async for event in events if isinstance(event, Text)]
    assert "".join(said) == after
    assert brain.versions() == ["base", "all@1", "all@2"]
    await follower.close()


async def _first(events: AsyncIterator[object], count: int) -> AsyncIterator[Text]:
    for _ in range(count):
        event = await anext(events)
        assert isinstance(event, Text)
        yield event
