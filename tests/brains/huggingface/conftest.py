from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import build_adapter, build_model
from understudy.brains.base import BrainMessage, BrainRequest, Text
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, load_model

# PEFT asks a model for something that transformers has renamed.
PEFT_WARNING = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(PEFT_WARNING))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model (`base`) and two adapters for it (`one`, `two`)."""
    pytest.importorskip("peft", reason="the extra understudy[huggingface] is not installed")
    folder = tmp_path_factory.mktemp("models")
    base = build_model(folder / "base", window=4096)
    build_adapter(base, folder / "one", seed=11)
    build_adapter(base, folder / "two", seed=12)
    return folder


@pytest.fixture
async def make_brain(models: Path) -> AsyncIterator[Callable[..., HuggingFaceBrain]]:
    """Makes brains on the tiny model in float32, and closes them."""
    made: list[HuggingFaceBrain] = []

    def make(model: Path = models / "base", **options: Any) -> HuggingFaceBrain:
        load_options = LoadOptions(model=str(model), device="cpu", dtype="float32")
        options.setdefault("width", 8)
        engine = Engine(options.pop("load", partial(load_model, load_options)), **options)
        made.append(HuggingFaceBrain(load_options, engine))
        return made[-1]

    yield make
    for brain in made:
        await brain.aclose()


@pytest.fixture
def brain(make_brain: Callable[..., HuggingFaceBrain]) -> HuggingFaceBrain:
    return make_brain()


@pytest.fixture
def say() -> Callable[..., Awaitable[str]]:
    """Ask a brain something and get the whole text of the reply."""

    async def ask(
        brain: HuggingFaceBrain, text: str = "hello", version: str = "", **fields: Any
    ) -> str:
        events = brain.stream(question(text, **fields), version)
        return "".join([e.text async for e in events if isinstance(e, Text)])

    return ask


def question(text: str = "hello", **fields: Any) -> BrainRequest:
    fields.setdefault("max_tokens", 24)
    fields.setdefault("temperature", 0.0)
    return BrainRequest(messages=[BrainMessage("user", text)], **fields)


@pytest.fixture(name="question")
def question_fixture() -> Callable[..., BrainRequest]:
    return question
