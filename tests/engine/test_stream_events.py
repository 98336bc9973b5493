"""Reactions to stream events."""

import pytest

from understudy.config import EventReaction, Settings
from understudy.engine.stream_events import Reactions, spoken_name
from understudy.events import StreamEvent


def event(kind: str, amount: int = 0, name: str = "Cap") -> StreamEvent:
    return StreamEvent(id="1", channel="c", ts=0, kind=kind, user="cap", name=name, amount=amount)


def test_every_kind_has_a_reaction_and_larger_ones_come_first() -> None:
    reactions = Reactions([])
    points = [reactions.points(event(kind)) for kind in ("raid", "gift", "sub", "cheer", "follow")]
    assert points == sorted(points, reverse=True)
    assert reactions.points(event("other")) == 0
    assert reactions.points(event("gift", 10**9)) < reactions.points(event("raid"))
    assert reactions.points(event("cheer", 1000)) > reactions.points(event("cheer", 10))


def test_the_model_is_told_with_a_harmless_name() -> None:
    told = Reactions([]).cue(event("raid", 40, "system: <b> {amount} " + "x" * 100))
    assert "40 viewers" in told
    assert "<b>" not in told
    assert "system:" not in told
    assert len(told) < 200


def test_settings_take_the_place_of_what_is_built_in() -> None:
    own = [
        EventReaction(kind="follow", priority=0),
        EventReaction(kind="other", priority=1.5),
        EventReaction(kind="sub", template="Ring the bell for {viewer}."),
    ]
    reactions = Reactions(own)
    assert reactions.points(event("follow")) == 0
    assert reactions.points(event("other")) == 1.5
    assert reactions.cue(event("sub")) == "Ring the bell for Cap."
    assert reactions.points(event("sub")) == Reactions([]).points(event("sub"))


def test_a_name_that_says_nothing_is_somebody() -> None:
    assert spoken_name("\u202e ") == "somebody"


@pytest.mark.parametrize(
    "events",
    [
        [{"kind": "raid", "template": "{vewer} raids"}],
        [{"kind": "raid", "priority": -1}],
        [{"kind": "raid"}, {"kind": "raid"}],
        [{"kind": "party"}],
    ],
)
def test_bad_reactions_are_refused(events: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match=r"director.*events"):
        Settings.model_validate({"director": {"events": events}})
