"""The colour of a mood.

Owns the palette and how colours between its steps are made. Does not own how a colour is shown,
eased and tinted by the newest message (the overlay).

From red over orange, grey and blue to violet, without green, so that people who see red and green
alike can tell moods apart. Mixed in OKLab (B. Ottosson, 2020), in which equal steps look equal, and
sent as `#rrggbb`: the browser inside OBS need not know newer notations.
"""

import math
from itertools import pairwise
from typing import NamedTuple

STEPS: tuple[tuple[float, str, str], ...] = (
    (-1.0, "hostile", "#d73337"),
    (-0.5, "tense", "#e18528"),
    (0.0, "calm", "#b0c0d1"),
    (0.5, "happy", "#4baeed"),
    (1.0, "hype", "#6875f6"),
)
"""Mood, what it is called, and its colour."""


class _Lab(NamedTuple):
    lightness: float
    a: float
    b: float


def colour_of(mood: float) -> str:
    """The colour of a mood from -1 to 1, as `#rrggbb`; moods beyond count as the last step."""
    mood = min(1.0, max(-1.0, mood))
    (low, _, from_hex), (high, _, to_hex) = next(
        pair for pair in pairwise(STEPS) if mood <= pair[1][0]
    )
    part = (mood - low) / (high - low)
    return _to_hex(_mix(_from_hex(from_hex), _from_hex(to_hex), part))


def name_of(mood: float) -> str:
    """The name of the step nearest to a mood."""
    return min(STEPS, key=lambda step: abs(step[0] - mood))[1]


def _mix(one: _Lab, other: _Lab, part: float) -> _Lab:
    return _Lab(*(a + (b - a) * part for a, b in zip(one, other, strict=True)))


def _from_hex(colour: str) -> _Lab:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return _Lab(
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _to_hex(colour: _Lab) -> str:
    channels = (_encoded(min(1.0, max(0.0, channel))) for channel in _to_rgb(colour))
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)


def _to_rgb(colour: _Lab) -> tuple[float, float, float]:
    lightness, a, b = colour
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _encoded(value: float) -> float:
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
