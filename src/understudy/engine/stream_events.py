"""Reactions to stream events: which of them are spoken to, how soon, and what the model is told.

Owns the built-in priorities and templates, and the settings in their place. Does not own the words
that are said (`brains`).
"""

import math

import msgspec

from understudy.config import EventReaction
from understudy.events import StreamEvent
from understudy.safety.untrusted import defuse

NAME_CHARS = 25

_MOST_FOR_AMOUNT = 0.9
_FOR_TEN_TIMES = 0.3


class Reaction(msgspec.Struct, frozen=True):
    """Points beside those of messages, 0 for no reaction, and what the model is told."""

    priority: float
    template: str


_BUILT_IN = {
    "raid": Reaction(
        6.0, "{viewer} raids the channel with {amount} viewers: welcome them and thank {viewer}."
    ),
    "gift": Reaction(5.0, "{viewer} has given away {amount} subscriptions: thank {viewer}."),
    "sub": Reaction(4.5, "{viewer} has subscribed: thank {viewer}."),
    "resub": Reaction(4.5, "{viewer} has subscribed for {amount} months now: thank {viewer}."),
    "cheer": Reaction(4.0, "{viewer} has cheered with {amount} bits: thank {viewer}."),
    "follow": Reaction(2.5, "{viewer} follows the channel now: welcome {viewer} in a few words."),
    "other": Reaction(0.0, "Something happened on the stream: say a few words about it."),
}


class Reactions:
    """The reactions of one channel: the built-in ones with the settings in their place."""

    def __init__(self, settings: list[EventReaction]) -> None:
        self._by_kind = dict(_BUILT_IN)
        for own in settings:
            built_in = _BUILT_IN[own.kind]
            priority = built_in.priority if own.priority is None else own.priority
            self._by_kind[own.kind] = Reaction(priority, own.template or built_in.template)

    def points(self, event: StreamEvent) -> float:
        """What an event is worth, more for a larger one; 0 when there is nothing to say."""
        priority = self._by_kind[event.kind].priority
        if not priority:
            return 0.0
        larger = _FOR_TEN_TIMES * math.log10(max(1, event.amount))
        return priority + min(_MOST_FOR_AMOUNT, larger)

    def cue(self, event: StreamEvent) -> str:
        """What the model is told about `event`, with the viewer's name made harmless."""
        viewer = spoken_name(event.display_name)
        template = self._by_kind[event.kind].template
        return template.replace("{amount}", str(event.amount)).replace("{viewer}", viewer)


def spoken_name(name: str) -> str:
    """A viewer's name as it may stand outside of a quotation: short and on one line."""
    return defuse(name)[:NAME_CHARS].strip() or "somebody"
