"""Which side an exchange is on for ever: trained on, or held out.

Owns conversations, their side, and the rule that neither an exchange, nor a group of
near-duplicates, nor a conversation is ever on two sides. Does not own how duplicates are found
(`duplicates`) nor where sides are kept (`storage.examples`).

A conversation's side is a hash of its name. A group takes the side of the conversation it was
first seen in, and all that join it later take the group's. A row whose conversation is on the other
side than its group is used nowhere: in training it would betray what is held out, and among what is
held out it would be a copy of something trained on.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from understudy.learning.datasets.duplicates import DuplicateIndex, founder_of, group_name
from understudy.storage.examples import ExampleRow, Split
from understudy.storage.rows import ExperienceRow

VALIDATION_PERCENT = 10
_HOUR_MS = 3_600_000


def split_of(conversation: str) -> Literal["train", "val"]:
    """The side of a conversation for ever: one in ten is held out."""
    digest = hashlib.sha256(conversation.encode("utf-8", "replace")).digest()
    percent = int.from_bytes(digest[:8]) % 100
    return "val" if percent < VALIDATION_PERCENT else "train"


def conversation_of(row: ExperienceRow) -> str:
    """What an exchange is part of: its session, or in a channel an hour of it (UTC).

    A channel has one session for as long as it exists, which as a whole could only be on one side.
    """
    if not row.channel:
        return row.session or row.id
    return f"{row.session}@{row.ts // _HOUR_MS}"


class Place(msgspec.Struct, frozen=True):
    """Where a row belongs: the name of its group, the group's side, and whether it may be used."""

    group: str
    split: Split
    usable: bool


class Splits:
    """Gives rows their places, from what was given out before."""

    def __init__(self, groups: Iterable[tuple[str, Split]] = ()) -> None:
        """`groups` are the names and sides of the groups known so far."""
        self._index = DuplicateIndex()
        self._sides: dict[str, Split] = {}
        for name, side in groups:
            founder = founder_of(name)
            if founder is not None:
                self._index.add(founder)
                self._sides[name] = side

    def place(self, conversation: str, signature: bytes) -> Place:
        """The place of an exchange that was never seen before."""
        side = split_of(conversation)
        group, split = self._group(signature, side)
        return Place(group, split, split == side)

    def place_again(self, conversation: str, known: ExampleRow) -> Place:
        """The place of an exchange that has one for ever."""
        return Place(known.duplicates, known.split, known.split == split_of(conversation))

    def place_anchor(self, held_out: bool, signature: bytes) -> Place:
        """The place of an anchor row, by preference held out or trained on; always usable.

        One that resembles an exchange that is held out is held out with it.
        """
        group, split = self._group(signature, "anchor" if held_out else "train")
        return Place(group, split, True)

    def _group(self, signature: bytes, side: Split) -> tuple[str, Split]:
        founder = self._index.find(signature)
        if founder is None:
            founder = signature
            self._index.add(founder)
        name = group_name(founder)
        return name, self._sides.setdefault(name, side)
