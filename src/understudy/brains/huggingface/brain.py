"""The brain that is a language model in this process.

Owns what others see of it: replies and versions. Does not own how they are made (`engine`).
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from pathlib import Path

from understudy.brains.base import Brain, BrainEvent, BrainRequest, versioned
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, check_installed, load_model
from understudy.brains.huggingface.reply import Reply
from understudy.brains.scripted import Recall
from understudy.config import BrainSettings


def make_huggingface(settings: BrainSettings, recall: Recall | None) -> Brain:
    """The local model of `[brain]`, not loaded yet; raises `BrainError` without the extra."""
    key = settings.hf_api_key.get_secret_value() or settings.api_key.get_secret_value()
    options = LoadOptions(
        model=settings.model or settings.hf_model,
        token=key,
        device=settings.device,
        quantization=settings.quantization,
    )
    return HuggingFaceBrain(options)


class HuggingFaceBrain(Brain):
    """A transformers model with LoRA versions, loaded when it is first asked.

    Every reply leases one version for its whole length: loading, promoting and unloading others
    changes no reply that is under way, and a greedy reply is the same alone and in any company.
    """

    name = "huggingface"

    def __init__(self, options: LoadOptions, engine: Engine | None = None) -> None:
        check_installed()
        self._options = options
        self._engine = engine or Engine(partial(load_model, options))

    @property
    def model(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The model, and the version of new replies when that is not the bare model."""
        return versioned(self._options.model, self._engine.versions.default)

    def answers_as(self, request: BrainRequest) -> str:
        """The model and the version that was asked for, else the one of new replies."""
        return versioned(self._options.model, request.version) if request.version else self.model

    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what this brain is."""
        loaded = self._engine.loaded
        version = self._engine.versions.default
        if loaded is None:
            where = "loaded when first asked"
        else:
            where = f"on {loaded.device} in {loaded.dtype}"
            if loaded.quantization != "none":
                where = f"on {loaded.device} in {loaded.quantization}"
        return f"The local model {self._options.model} ({where}), version {version}."

    async def stream(
        self, request: BrainRequest, version: str = ""
    ) -> AsyncGenerator[BrainEvent, None]:
        """Yield the reply of `version`, else of the request's, else of the promoted one.

        Raises `BrainError`.
        """
        reply = Reply(request, self._engine.versions.lease(version or request.version))
        self._engine.submit(reply)
        try:
            async with aclosing(reply.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._engine.cancel(reply)

    async def load(self, version: str, folder: Path) -> None:
        """Load the LoRA adapter in `folder` as `version`, while replies run; raises `BrainError`.

        The version answers nobody before it is asked for or promoted.
        """
        self._engine.versions.check_new(version)
        await _finish(self._engine.load_adapter(version, folder))

    async def unload(self, version: str) -> None:
        """Refuse `version` to new replies, wait for those under way, and free its memory.

        Raises `BrainError` for the base and for the version of new replies.
        """
        self._engine.versions.leave(version)
        await _finish(self._engine.unload_adapter(version))

    def versions(self) -> list[str]:
        """The versions that replies can have; the first is the model without an adapter."""
        return self._engine.versions.names()

    def promote(self, version: str) -> None:
        """Make `version` the one of new replies, `base` included; raises `BrainError`."""
        self._engine.versions.promote(version)

    async def aclose(self) -> None:
        """End every reply and the thread that owns the model."""
        await asyncio.to_thread(self._engine.close)


async def _finish(work: Future[None]) -> None:
    """Wait for work that is done also when nobody waits for it any more."""
    await asyncio.shield(asyncio.wrap_future(work))
