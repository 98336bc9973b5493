"""The scripted brain's data: intents, lines of each persona and word lists.

Owns reading and checking the YAML files beside it. Does not own what is chosen from them.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
import yaml

from understudy.brains.scripted.templates import Template, TemplateError, parse
from understudy.brains.scripted.words import Words

DEFAULT = "default"
"""The persona whose lines the others fall back to."""
PERSONAS = (DEFAULT, "fitness_coach", "calm_coach", "drill_sergeant")
"""Personas with lines of their own."""


class Intent(msgspec.Struct, frozen=True):
    """Something a message can be about, and how it is recognised.

    `sure` answers are never replaced by a former one; `again` ones can be asked for once more.
    """

    name: str
    patterns: tuple[re.Pattern[str], ...]
    sure: bool = False
    again: bool = False

    def matches(self, text: str) -> bool:
        """Whether the prepared `text` is about this."""
        return any(pattern.search(text) for pattern in self.patterns)


class Line(msgspec.Struct, frozen=True):
    """One line of a pool; `id` is unique among all personas."""

    id: str
    template: Template


Pools = dict[str, tuple[Line, ...]]
"""Lines by the name of their pool."""


class Library(msgspec.Struct, frozen=True):
    """Everything the scripted brain knows."""

    intents: tuple[Intent, ...]
    personas: dict[str, Pools]
    words: Words

    def has(self, persona: str, pool: str) -> bool:
        """Whether `persona` itself or the default persona has lines in `pool`."""
        return pool in self.personas[DEFAULT] or self.is_own(persona, pool)

    def is_own(self, persona: str, pool: str) -> bool:
        """Whether the lines of `pool` were written for `persona`."""
        return pool in self.personas.get(persona, self.personas[DEFAULT])

    def lines(self, persona: str, pool: str) -> Sequence[Line]:
        """The lines of `persona` for `pool`, else those of the default persona, else none."""
        own = self.personas.get(persona, {}).get(pool)
        return own or self.personas[DEFAULT].get(pool, ())


def load_library() -> Library:
    """Read the files in `lines/`; raises `TemplateError` for a line that is not well formed."""
    folder = files("understudy.brains.scripted") / "lines"
    intents = tuple(_intent(entry) for entry in _read(folder, "intents"))
    personas = {name: _pools(name, _read(folder, name)) for name in PERSONAS}
    lists = {name: text.split() for name, text in _read(folder, "words").items()}
    words = Words(
        blocked=frozenset(lists["blocked"]),
        blocked_roots=tuple(lists["blocked_roots"]),
        common=frozenset(lists["common"]),
    )
    return Library(intents=intents, personas=personas, words=words)


def _read(folder: Traversable, name: str) -> Any:
    # The C loader is ten times faster but not part of every build of PyYAML.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((folder / f"{name}.yaml").read_text(encoding="utf-8"), Loader=loader)


def _intent(entry: dict[str, Any]) -> Intent:
    patterns = tuple(re.compile(pattern) for pattern in entry["patterns"].splitlines())
    return Intent(
        name=entry["name"],
        patterns=patterns,
        sure=entry.get("sure", False),
        again=entry.get("again", False),
    )


def _pools(persona: str, document: dict[str, str]) -> Pools:
    """Pools of one persona; a pool refers only to pools above it."""
    pools: Pools = {}

    def refer(name: str) -> list[Template]:
        if name not in pools:
            raise TemplateError(f"no pool {name} above its use in the lines of {persona}")
        return [line.template for line in pools[name]]

    for pool, text in document.items():
        pools[pool] = tuple(
            Line(id=f"{persona}/{pool}/{number}", template=parse(line.strip(), refer))
            for number, line in enumerate(text.strip().splitlines())
        )
    return pools
