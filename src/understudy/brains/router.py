"""Chooses the brain, and keeps any brain from hanging, crashing or leaking through.

Owns the registry of providers, the choice, and the deadlines of a reply. Does not own how a
provider works (`brains.<provider>`). A third party adds a provider by an entry point of the group
`understudy.brains` that names a `BrainFactory`, without a change here.
"""

import asyncio
import difflib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Text
from understudy.brains.scripted import Recall, ScriptedBrain
from understudy.config import BrainSettings

GROUP = "understudy.brains"
AUTO = "auto"
DEFAULT = "scripted"
FIRST_TOKEN_SECONDS = 30.0
REPLY_SECONDS = 120.0

BrainFactory = Callable[[BrainSettings, Recall | None], Brain]
"""Makes a brain from the settings and the memory of liked answers; may raise `BrainError`."""

_log = logging.getLogger(__name__)


class UnknownProvider(BrainError):
    """`brain.provider` names no brain that is installed."""


class BrainUnavailable(BrainError):
    """A brain is installed but cannot be loaded."""


def load_providers() -> dict[str, BrainFactory]:
    """The factories by provider name; a plug-in is not imported before its brain is made.

    The built-in ones need no installed metadata, and no plug-in can take their names.
    """
    found: dict[str, BrainFactory] = {
        entry.name: partial(_make_plugin, entry) for entry in entry_points(group=GROUP)
    }
    return found | {DEFAULT: make_scripted}


def make_scripted(settings: BrainSettings, recall: Recall | None) -> Brain:
    """The scripted brain as the settings want it."""
    return ScriptedBrain(settings.seed, settings.words_per_second, recall)


class Router:
    """The brain that answers, behind deadlines. `why` says in one sentence why it is this one."""

    def __init__(
        self,
        brain: Brain,
        why: str,
        *,
        first_token_seconds: float = FIRST_TOKEN_SECONDS,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        self.brain = brain
        self.why = why
        self._first_token_seconds = first_token_seconds
        self._reply_seconds = reply_seconds

    @classmethod
    def from_settings(cls, settings: BrainSettings, *, recall: Recall | None = None) -> "Router":
        """The router for `[brain]`; raises `UnknownProvider` or `BrainUnavailable`."""
        known = load_providers()
        name = DEFAULT if settings.provider == AUTO else settings.provider
        if name not in known:
            raise UnknownProvider(_explain(settings.provider, known))
        brain = known[name](settings, recall)
        if settings.provider == AUTO:
            why = f"The {name} brain answers: brain.provider is auto and no model is set up."
        else:
            why = f"The {name} brain answers: brain.provider asks for it."
        return cls(brain, why)

    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what the brain is."""
        return self.brain.describe()

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Yield the brain's reply without empty tokens.

        Raises `BrainError` only: retryable when a deadline has passed or the brain broke down.
        Time in which the reader does not ask for the next event does not count for the first
        token, but does for the whole reply.
        """
        started = asyncio.get_running_loop().time()
        heard = False
        async with aclosing(self.brain.stream(request)) as events:
            while (event := await self._next(events, started, heard)) is not None:
                if not isinstance(event, Text):
                    yield event
                elif event.text:
                    heard = True
                    yield event

    async def aclose(self) -> None:
        """Close the brain."""
        await self.brain.aclose()

    async def _next(
        self, events: AsyncGenerator[BrainEvent, None], started: float, heard: bool
    ) -> BrainEvent | None:
        """The next event, or None at the end."""
        limit = self._reply_seconds
        if not heard:
            limit = min(limit, self._first_token_seconds)
        deadline = asyncio.timeout_at(started + limit)
        try:
            async with deadline:
                return await anext(events, None)
        except BrainError:
            raise
        except Exception as error:
            if deadline.expired():
                what = "did not finish" if heard else "said nothing"
                message = f"the {self.brain.name} brain {what} within {limit:g} s: try again"
                raise BrainError(message, retryable=True) from None
            _log.exception("the %s brain broke down", self.brain.name)
            message = f"the {self.brain.name} brain broke down: try again, details are in the log"
            raise BrainError(message, retryable=True) from error


def _make_plugin(entry: EntryPoint, settings: BrainSettings, recall: Recall | None) -> Brain:
    """The brain of a plug-in; raises `BrainUnavailable` for one that is broken."""
    try:
        brain = entry.load()(settings, recall)
    except BrainError:
        raise
    except Exception as error:
        _log.exception("the %s brain cannot be loaded", entry.name)
        raise BrainUnavailable(
            f"the {entry.name} brain cannot be loaded ({type(error).__name__}): "
            "install what it needs or set brain.provider to scripted"
        ) from error
    if not isinstance(brain, Brain):
        raise BrainUnavailable(
            f"{entry.value} makes no Brain: fix or remove the package it is from"
        )
    return brain


def _explain(provider: str, known: Mapping[str, BrainFactory]) -> str:
    names = [AUTO, *sorted(known)]
    choices = f"{', '.join(names[:-1])} or {names[-1]}"
    near = difflib.get_close_matches(provider.lower(), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"brain.provider '{provider}' is not known: choose {choices}{hint}"
