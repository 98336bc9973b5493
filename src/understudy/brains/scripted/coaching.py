"""Reads breathing and effort, and says which kind of coaching line fits.

Owns the thresholds. They follow what is commonly given for adults: 12 to 20 breaths a minute at
rest, 40 to 60 at hard exercise. Does not own the lines, and is no medical device.
"""

import re
from collections.abc import Mapping

import msgspec

TOO_FAST = 50.0
"""Breaths a minute from which a pause is asked for, whatever the effort."""
HARD = 0.75
LIGHT = 0.35
_LEVELS = {
    "none": 0.0,
    "rest": 0.1,
    "resting": 0.1,
    "very low": 0.1,
    "low": 0.25,
    "light": 0.25,
    "easy": 0.25,
    "gentle": 0.25,
    "medium": 0.5,
    "moderate": 0.5,
    "normal": 0.5,
    "high": 0.8,
    "hard": 0.8,
    "heavy": 0.8,
    "intense": 0.85,
    "very high": 0.95,
    "max": 1.0,
    "maximum": 1.0,
    "all out": 1.0,
}
_UNWELL = re.compile(
    r"\b(dizzy|faint|chest|can'?t breathe|pain|hurts?|nausea|sick|black ?out|unwell)\b", re.I
)


class Reading(msgspec.Struct, frozen=True):
    """A viewer's state: breaths a minute, and effort between 0 and 1, where they are known."""

    rate: float | None = None
    effort: float | None = None
    unwell: bool = False

    @property
    def pool(self) -> str:
        """The pool of lines that fits."""
        if self.unwell or (self.rate is not None and self.rate >= TOO_FAST):
            return "coach_stop"
        if self.rate is not None and self.rate > self._expected_rate * 1.3:
            return "coach_slow"
        if self.effort is not None and self.effort >= HARD:
            return "coach_recover"
        quiet_breath = self.rate is None or self.rate < 20
        if self.effort is not None and self.effort <= LIGHT and quiet_breath:
            return "coach_push"
        return "coach_steady"

    @property
    def _expected_rate(self) -> float:
        """Breaths a minute that go with the effort: 16 at rest, 36 at full effort."""
        return 16 + 20 * (0.4 if self.effort is None else self.effort)


def read(arguments: Mapping[str, str], message: str) -> Reading:
    """The state in a coach command: `rate_bpm`, `intensity` and `effort` as texts, and a message.

    `effort` (how hard it feels) counts before `intensity` (how hard it is); both are a word, a
    share of 1, or a number out of 10 or 100. What cannot be read counts as not known.
    """
    rate = _number(arguments.get("rate_bpm", ""))
    levels = (_level(arguments.get(name, "")) for name in ("effort", "intensity"))
    effort = next((level for level in levels if level is not None), None)
    return Reading(rate=rate, effort=effort, unwell=bool(_UNWELL.search(message)))


def _number(text: str) -> float | None:
    match = re.search(r"\d{1,4}(?:\.\d+)?", text)
    return float(match[0]) if match else None


def _level(text: str) -> float | None:
    word = " ".join(text.lower().replace("_", " ").replace("-", " ").split())
    if word in _LEVELS:
        return _LEVELS[word]
    number = _number(word)
    if number is None:
        return None
    if number > 10 or "%" in word:
        return min(number / 100, 1.0)
    return number / 10 if number > 1 else number
