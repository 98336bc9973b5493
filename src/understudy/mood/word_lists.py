"""The word lists that sentiment is read from, and the plain text files they are kept in.

Owns the form of the built-in lists (`lists/*.txt`): a value or a kind, then the entries it is for,
separated by spaces; `_` stands for a space inside a phrase. Does not own how a message is read with
them (`lexicon`) nor the lists of a channel (`channel_words`).
"""

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Literal, get_args

import msgspec

Modifier = Literal["negate", "boost", "soften", "turn", "ironic", "laugh"]
"""What a word does to others: turn them around, add to them, take from them, make what follows
weigh more than what came before, say that praise is not meant, or laugh, which beside blame is no
praise either."""


class WordLists(msgspec.Struct, frozen=True, kw_only=True):
    """Values from -1 to 1 by entry, and the words that change others.

    `emotes` are whole tokens with their case, `glyphs` are found anywhere in a token, `words` and
    `phrases` are in lower case, the words of a phrase separated by one space; `tails` end the names
    of emotes that are not listed.
    """

    emotes: Mapping[str, float]
    glyphs: Mapping[str, float]
    words: Mapping[str, float]
    phrases: Mapping[str, float]
    tails: Mapping[str, float]
    modifiers: Mapping[str, Modifier]

    def with_own(self, emotes: Mapping[str, float], words: Mapping[str, float]) -> "WordLists":
        """These lists with entries of a channel, which win over the same entries here."""
        plain = {entry: value for entry, value in words.items() if " " not in entry}
        phrases = {entry: value for entry, value in words.items() if " " in entry}
        return msgspec.structs.replace(
            self,
            emotes={**self.emotes, **emotes},
            words={**self.words, **plain},
            phrases={**self.phrases, **phrases},
        )


def built_in_lists() -> WordLists:
    """The lists that come with the program."""
    return WordLists(
        emotes=_values("emotes"),
        glyphs=_values("glyphs"),
        words=_values("words"),
        phrases={entry.replace("_", " "): value for entry, value in _values("phrases").items()},
        tails=_values("tails"),
        modifiers=_modifiers(),
    )


def _values(name: str) -> dict[str, float]:
    return {entry: float(head) for head, entries in _lines(name) for entry in entries}


def _modifiers() -> dict[str, Modifier]:
    kinds: dict[str, Modifier] = {kind: kind for kind in get_args(Modifier)}
    return {entry: kinds[head] for head, entries in _lines("modifiers") for entry in entries}


def _lines(name: str) -> Iterator[tuple[str, list[str]]]:
    file = resources.files("understudy.mood").joinpath("lists", f"{name}.txt")
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            head, *entries = line.split()
            yield head, entries
