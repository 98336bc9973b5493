"""Everyday words, so that a viewer called "game" does not empty the language of a stream.

Owns the list, which lies beside this file. Does not own what is done about such names (`roster`).
"""

from functools import cache
from importlib import resources


@cache
def common_words() -> frozenset[str]:
    """Frequent words of English, of stream chat and of German, in small letters."""
    text = resources.files("understudy.safety").joinpath("common_words.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.split())
