"""The brains a reply may come from, in the order in which they are asked.

Owns what `[brain]` says about that order and the state kept of each brain. Does not own when the
next one is asked (`router`).
"""

import ipaddress
import logging
from urllib.parse import urlsplit

from pydantic import SecretStr

from understudy.brains.base import Brain, BrainError
from understudy.brains.breaker import Breaker
from understudy.brains.prices import FREE, Price, Prices
from understudy.brains.providers import SCRIPTED, load_providers, make_brain, unknown_provider
from understudy.brains.scripted import Recall
from understudy.config import BrainSettings

NO_FALLBACK = "none"
"""In `brain.fallback`: not even the scripted brain answers in place of another."""

# `brain.base_url` is the address of the first brain, unless that is one that has no use for it.
_WITHOUT_ADDRESS = {"claude", "huggingface", SCRIPTED}
_log = logging.getLogger(__name__)


class Resting(BrainError):
    """A brain is left alone for a while because it failed again and again."""


class Link:
    """A brain of the chain and how it does; `free` says that it runs on the user's machine."""

    def __init__(self, brain: Brain, *, free: bool = False, breaker: Breaker | None = None) -> None:
        self.brain = brain
        self.breaker = breaker or Breaker()
        self._free = free
        self._problem = ""

    def price(self, prices: Prices) -> Price | None:
        """The price of its model; None when it is not known."""
        return FREE if self._free else prices.find(self.brain.name, self.brain.model)

    @property
    def problem(self) -> str:
        """What is wrong with it, in one sentence; empty when nothing is."""
        return self._problem if self.breaker.state == "closed" else str(self.resting())

    def resting(self) -> Resting:
        """The error of a brain that is left alone."""
        rest = self.breaker.rest
        when = f"for {rest:.0f} s" if rest else "until an attempt succeeds"
        return Resting(
            f"the {self.brain.name} brain is left alone {when} because it failed repeatedly: "
            f"{self.breaker.reason}",
            kind="unavailable",
            retry_after=rest or None,
        )

    def answered(self) -> None:
        """It has begun to answer."""
        self._problem = ""

    def failed(self, error: BrainError) -> None:
        """It could not answer; logged once for as long as the reason is the same."""
        if isinstance(error, Resting):
            return
        message = str(error)
        if message != self._problem:
            _log.warning("%s", message)
        self._problem = message


def make_chain(settings: BrainSettings, recall: Recall | None) -> tuple[list[Link], list[str]]:
    """The chain for `[brain]`, and one sentence about each fallback that cannot be made.

    A fallback is a provider or `provider:model`. Raises what `make_brain` raises for the first
    brain, and `UnknownProvider` for any.
    """
    links = [_make_link(settings, recall)]
    missing: list[str] = []
    known = load_providers()
    for name in _fallback_names(settings):
        provider, _, model = name.partition(":")
        if provider not in known:
            raise unknown_provider("brain.fallback", provider, [*known, NO_FALLBACK])
        try:
            links.append(_make_link(_for_fallback(settings, provider, model), recall))
        except BrainError as error:
            missing.append(f"brain.fallback {name} cannot be used: {error}")
    return links, missing


def is_local(base_url: str) -> bool:
    """Whether the address is of this machine or its network."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".local", ".localhost", ".internal"))


def _make_link(settings: BrainSettings, recall: Recall | None) -> Link:
    brain = make_brain(settings, recall)
    return Link(brain, free=settings.provider == "openai" and is_local(settings.base_url))


def _fallback_names(settings: BrainSettings) -> list[str]:
    """`brain.fallback` without repetitions, and with the scripted brain as the last resort."""
    names = list(dict.fromkeys([*settings.fallback, SCRIPTED]))
    if NO_FALLBACK in names:
        names = [n for n in names if n != NO_FALLBACK and n in settings.fallback]
    return [name for name in names if name != settings.provider]


def _for_fallback(settings: BrainSettings, provider: str, model: str) -> BrainSettings:
    """The settings of a fallback: model, key and address of the first brain are its own."""
    changes: dict[str, object] = {"provider": provider, "model": model, "api_key": SecretStr("")}
    if settings.provider not in _WITHOUT_ADDRESS:
        changes["base_url"] = ""
    return settings.model_copy(update=changes)
