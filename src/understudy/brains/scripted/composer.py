"""Chooses a line and a wording that has not been heard lately.

Owns variety: lines take turns, wordings differ, a borrowed line gets the persona's colour. Does
not own which pool fits (`understanding`).
"""

import itertools
import re
from collections.abc import Iterator, Sequence

from understudy.brains.scripted.conversation import Conversation
from understudy.brains.scripted.library import Library, Line
from understudy.brains.scripted.templates import Slots

SPARE = "fallback"
"""The pool that is drawn from when all others were heard lately."""
PLAIN = frozenset({"crisis", "pain"})
"""Pools too serious for a persona's colour."""
PLAIN_SHARE = 0.35
"""Share of borrowed lines that stay as they are."""
TRIES = 8
WORDINGS = 400
"""Most wordings of one line that are looked at in search of a fresh one."""

_LEADING_TAG = re.compile(r"(?:\[[^\]]*\] )?")


class Composer:
    """Makes answers from pools of lines."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def compose(
        self, conversation: Conversation, persona: str, pools: Sequence[str], slots: Slots
    ) -> str:
        """An answer from the first of `pools` that has something fresh to say."""
        for pool in pools:
            for line in self._in_turn(conversation, persona, pool, slots):
                for _ in range(TRIES):
                    text = self._word(conversation, persona, pool, line, slots)
                    if conversation.is_fresh(text):
                        conversation.use_line(line.id)
                        return text
        return self._search(conversation, persona, [*pools, SPARE], slots)

    def _in_turn(
        self, conversation: Conversation, persona: str, pool: str, slots: Slots
    ) -> list[Line]:
        """The fitting lines of a pool, those not used for longest first."""
        fitting = [x for x in self._library.lines(persona, pool) if x.template.fits(slots)]
        conversation.rng.shuffle(fitting)
        return sorted(fitting, key=lambda line: conversation.line_age(line.id))

    def _word(
        self, conversation: Conversation, persona: str, pool: str, line: Line, slots: Slots
    ) -> str:
        rng = conversation.rng
        text = line.template.render(rng, slots)
        if self._library.is_own(persona, pool) or pool in PLAIN:
            return text
        # After a question an order or a wish would talk over the answer.
        around = "lead" if text.endswith("?") or rng.random() < 0.4 else "tail"
        colours = self._library.lines(persona, around)
        if not colours or rng.random() < PLAIN_SHARE:
            return text
        unnamed = {name: value for name, value in slots.items() if name != "viewer"}
        colour = rng.choice(colours).template.render(rng, unnamed)
        if around == "tail":
            return f"{text} {colour}"
        return _LEADING_TAG.sub(lambda tag: f"{tag[0]}{colour} ", text, count=1)

    def _search(
        self, conversation: Conversation, persona: str, pools: Sequence[str], slots: Slots
    ) -> str:
        """Go through the wordings one by one; the spare pool has more than can be recent."""
        text = ""
        for text in self._wordings(persona, pools, slots):
            if conversation.is_fresh(text):
                return text
        return text

    def _wordings(self, persona: str, pools: Sequence[str], slots: Slots) -> Iterator[str]:
        for pool in pools:
            for line in self._library.lines(persona, pool):
                if line.template.fits(slots):
                    yield from itertools.islice(line.template.variants(slots), WORDINGS)
