"""How many tokens a text costs, estimated without a tokenizer.

Owns one heuristic, good to about a quarter for chat in most languages and meant to err upwards.
Does not count for billing: that is the provider's `Usage`.
"""

import math
import re
from collections.abc import Callable
from functools import lru_cache

MESSAGE_OVERHEAD = 4
"""Tokens a message costs beyond its text: role and separators of common chat templates."""

_LATIN_CHARS_PER_TOKEN = 4
_OTHER_CHARS_PER_TOKEN = 2
_TOKENS_PER_SYMBOL = 2

# Scripts written without spaces, where a character is about a token: CJK, kana, hangul.
_DENSE = re.compile(
    "[\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]"
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_LATIN = re.compile("[\u0000-\u024f]")


@lru_cache(maxsize=8192)  # a message counts again with every reply that remembers it
def estimate_tokens(text: str) -> int:
    """Estimated tokens of `text`; 0 only when it is empty.

    Four characters a token for Latin script but at least one token a word, two for other
    alphabets, one token for a CJK character, two for an emoji or another rare symbol.
    """
    if text.isascii():
        characters = len(text) / _LATIN_CHARS_PER_TOKEN
    else:
        latin = len(_LATIN.findall(text))
        dense = len(_DENSE.findall(text))
        symbols = len(_ASTRAL.findall(text))
        other = len(text) - latin - dense - symbols
        characters = (
            latin / _LATIN_CHARS_PER_TOKEN
            + other / _OTHER_CHARS_PER_TOKEN
            + dense
            + symbols * _TOKENS_PER_SYMBOL
        )
    return max(math.ceil(characters), len(text.split()))


def cut_to_tokens(text: str, tokens: int, cost: Callable[[str], int] = estimate_tokens) -> str:
    """The longest beginning of `text` whose `cost` is at most `tokens`; empty if none is."""
    if cost(text) <= tokens:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if cost(text[:middle]) <= tokens:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip()
