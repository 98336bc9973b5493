"""The registry of providers: which brains there are, and how one is made.

A provider is an entry point of the group `understudy.brains` that names a `BrainFactory`; the
built-in ones are listed here, so that they need no installed metadata. Nothing of a provider is
imported before its brain is made. Does not own which brain answers (`choice`, `router`).
"""

import difflib
import logging
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points

from understudy.brains.base import Brain, BrainError
from understudy.brains.scripted import Recall, ScriptedBrain
from understudy.config import BrainSettings

GROUP = "understudy.brains"
AUTO = "auto"
SCRIPTED = "scripted"
BUILT_IN = {
    "claude": "understudy.brains.claude:make_claude",
    "huggingface": "understudy.brains.huggingface:make_huggingface",
    "openai": "understudy.brains.openai:make_openai",
    SCRIPTED: "understudy.brains.providers:make_scripted",
}
"""The factories of the providers that come with Understudy."""

BrainFactory = Callable[[BrainSettings, Recall | None], Brain]
"""Makes a brain from the settings and the memory of liked answers; may raise `BrainError`."""

_log = logging.getLogger(__name__)


class UnknownProvider(BrainError):
    """`brain.provider` or `brain.fallback` names no brain that is installed."""


class BrainUnavailable(BrainError):
    """A brain is installed but cannot be loaded."""


def make_scripted(settings: BrainSettings, recall: Recall | None) -> Brain:
    """The scripted brain as the settings want it."""
    return ScriptedBrain(settings.seed, settings.words_per_second, recall)


def load_providers() -> dict[str, EntryPoint]:
    """The providers by name; no plug-in can take the name of a built-in one."""
    plugins = {entry.name: entry for entry in entry_points(group=GROUP)}
    return plugins | {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}


def make_brain(settings: BrainSettings, recall: Recall | None = None) -> Brain:
    """The brain of `settings.provider`, which is not `auto`.

    Raises `UnknownProvider`, `BrainUnavailable`, or what the provider says it lacks.
    """
    known = load_providers()
    entry = known.get(settings.provider)
    if entry is None:
        raise unknown_provider("brain.provider", settings.provider, [AUTO, *known])
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


def unknown_provider(setting: str, name: str, choices: Collection[str]) -> UnknownProvider:
    """The error about a `name` that is not one of the `choices`."""
    first, *others = sorted(choices)
    listed = f"{', '.join([first, *others[:-1]])} or {others[-1]}"
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return UnknownProvider(f"{setting} '{name}' is not known: choose {listed}{hint}")
