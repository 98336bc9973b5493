"""A reply as messages that fit into Twitch's chat.

Owns the cutting: at spaces, by code points, and not inside of what is seen as one character unless
that alone is too long. Does not own when they are sent (`sending`).
"""

import re
import unicodedata
from typing import Final

MAX_CHARS: Final = 500
"""Longest message in code points: one more and Twitch refuses it."""

_COMMAND = re.compile(r"^(?:/+\s*|\.(?=[^\W\d_]))+")
_ZERO_WIDTH_JOINER = "\u200d"
_VIRAMA_CLASS = 9
# What continues a character and is no mark by its category: joiners, skin tones, tags of flags,
# vowels and finals of Hangul, Thai and Lao AM, and half-width voicing (UAX #29, GB6 to GB9a).
_CONTINUING = re.compile(
    "[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\u1160-\u11ff\ud7b0-\ud7fb"
    "\u0e33\u0eb3\uff9e\uff9f]"
)


def split_message(text: str, limit: int = MAX_CHARS) -> list[str]:
    """`text` on one line, as messages of at most `limit` code points; empty when it is blank.

    A slash before a message goes away, and so does a dot before its first word: what the co-host
    says is no command.
    """
    rest = " ".join(text.split())
    pieces: list[str] = []
    while rest := _COMMAND.sub("", rest):
        cut = len(rest) if len(rest) <= limit else _space(rest, limit) or _border(rest, limit)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return pieces


def _space(text: str, limit: int) -> int:
    """The last space that may end a piece; 0 when there is none."""
    at = text.rfind(" ", 1, limit + 1)
    while at > 0 and _continues(text, at + 1):
        at = text.rfind(" ", 1, at)
    return max(at, 0)


def _border(text: str, limit: int) -> int:
    """The last border between characters up to `limit`; `limit` itself when there is none."""
    at = limit
    while at > 0 and _continues(text, at):
        at -= 1
    return at or limit


def _continues(text: str, at: int) -> bool:
    """Whether what stands at `at` belongs to the character before."""
    before, char = text[at - 1], text[at]
    if unicodedata.category(char)[0] == "M" or _CONTINUING.match(char):
        return True
    if before == _ZERO_WIDTH_JOINER or unicodedata.combining(before) == _VIRAMA_CLASS:
        return True
    # Flags are pairs: the border lies after an even number of halves.
    return _is_flag_half(char) and _flag_halves_before(text, at) % 2 == 1


def _flag_halves_before(text: str, at: int) -> int:
    start = at
    while start > 0 and _is_flag_half(text[start - 1]):
        start -= 1
    return at - start


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
