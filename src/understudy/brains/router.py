"""Chooses the brain and keeps it to its deadlines.

Owns which provider answers and why, how long it may take, and that nothing of a failing brain's
inside leaks to a viewer. Does not own what a brain is told (`engine.context`).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Text
from understudy.brains.scripted import Recall, ScriptedBrain
from understudy.config import BrainSettings

logger = logging.getLogger(__name__)

ENTRY_POINTS = "understudy.brains"
FIRST_TOKEN_SECONDS = 30.0
REPLY_SECONDS = 120.0

BrainFactory = Callable[[BrainSettings, Recall | None], Brain]
"""Makes a brain from its settings; what an entry point of the group `understudy.brains` names."""


class UnknownProvider(BrainError):
    """No brain has this provider name; the message lists those there are."""


class Router:
    """The brain that answers, behind deadlines."""

    def __init__(
        self,
        brain: Brain,
        *,
        why: str,
        first_token_seconds: float = FIRST_TOKEN_SECONDS,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self.brain = brain
        self.why = why
        self._first_token_seconds = first_token_seconds
        self._reply_seconds = reply_seconds

    @classmethod
    def from_settings(cls, settings: BrainSettings, *, recall: Recall | None = None) -> "Router":
        """The brain that the settings ask for; raises `UnknownProvider`."""
        if settings.provider == "auto":
            brain = make_scripted(settings, recall)
            return cls(brain, why="scripted, the built-in brain: no other is configured")
        providers = load_providers()
        if settings.provider not in providers:
            raise UnknownProvider(_unknown(settings.provider, ["auto", *providers]))
        brain = providers[settings.provider](settings, recall)
        return cls(brain, why=f"{settings.provider}, as brain.provider says")

    def describe(self) -> str:
        """One sentence: what the brain is."""
        return self.brain.describe()

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """The brain's events without empty pieces of text; raises only `BrainError`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._reply_seconds
        deadline = min(end, loop.time() + self._first_token_seconds)
        async with aclosing(self.brain.stream(request)) as events:
            while (event := await self._next(events, deadline)) is not None:
                if isinstance(event, Text):
                    if not event.text:
                        continue
                    deadline = end
                yield event

    async def aclose(self) -> None:
        """Close the brain."""
        await self.brain.aclose()

    async def _next(
        self, events: AsyncGenerator[BrainEvent, None], deadline: float
    ) -> BrainEvent | None:
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(events, None)
        except TimeoutError:
            raise BrainError(
                f"{self.brain.name} took too long to answer: try again", retryable=True
            ) from None
        except BrainError:
            raise
        except Exception as error:
            logger.exception("brain %s failed", self.brain.name)
            raise BrainError(
                f"{self.brain.name} failed to answer: see the server's log", retryable=True
            ) from error


def load_providers() -> Mapping[str, BrainFactory]:
    """Every provider by name: the built-in ones and those that installed packages add."""
    found: dict[str, BrainFactory] = {"scripted": make_scripted}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in found:
            found[point.name] = _lazily(point)
    return found


def make_scripted(settings: BrainSettings, recall: Recall | None) -> Brain:
    """The scripted brain, as the settings want it."""
    return ScriptedBrain(
        seed=settings.seed, words_per_second=settings.words_per_second, recall=recall
    )


def _lazily(point: Any) -> BrainFactory:
    """A factory that imports the provider's package when its brain is made."""

    def make(settings: BrainSettings, recall: Recall | None) -> Brain:
        factory: BrainFactory = point.load()
        return factory(settings, recall)

    return make


def _unknown(provider: str, known: list[str]) -> str:
    nearest = get_close_matches(provider, known, n=1)
    hint = f" (did you mean {nearest[0]}?)" if nearest else ""
    return f"brain.provider {provider!r} is not known{hint}: choose {' or '.join(known)}"
