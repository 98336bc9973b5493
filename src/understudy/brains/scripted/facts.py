"""What the streamer has told the co-host about the stream, read from its system prompt.

Owns finding plain statements such as `Game: Celeste`. Only the system prompt counts: chat is not
trusted to say what the stream is about.
"""

import re

_STATED = re.compile(
    r"^[ \t\-*]*(?:the |today'?s |current )?(game|schedule)(?: today| is)?[ \t]*[:=][ \t]*(\S.*)$",
    re.I | re.M,
)
_PLAYING = re.compile(
    r"\b(?:we are|we're|is|now|currently) (?:now |currently )?playing (?=[A-Z0-9\"])([^.,;!?\n]+)"
)
_STREAMS = re.compile(
    r"\bstreams? ((?:every|daily|at \d|on (?:mon|tues|wednes|thurs|fri|satur|sun|week))[^.;!?\n]*)",
    re.I,
)
LONGEST = 80
"""Longest fact, in characters, that is said again."""


def stream_facts(system_prompt: str) -> dict[str, str]:
    """The facts in `system_prompt` by name: `game`, `schedule`, where they are stated."""
    facts = {name.lower(): value for name, value in _STATED.findall(system_prompt)}
    if playing := _PLAYING.search(system_prompt):
        facts.setdefault("game", playing[1])
    if streams := _STREAMS.search(system_prompt):
        facts.setdefault("schedule", streams[1])
    tidy = {name: _tidy(value) for name, value in facts.items()}
    return {name: value for name, value in tidy.items() if 0 < len(value) <= LONGEST}


def _tidy(value: str) -> str:
    return " ".join(value.split()).strip("\"'“”. ")
