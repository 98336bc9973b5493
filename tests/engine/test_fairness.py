"""How replies are shared out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.config import DirectorSettings
from understudy.engine import fairness as module
from understudy.engine.candidates import Candidate, Lane
from understudy.engine.fairness import Fairness
from understudy.events import ChatMessage

SECOND = 1000


def make(**changes: object) -> Fairness:
    return Fairness(DirectorSettings(**changes))  # pyright: ignore[reportArgumentType]


def candidate(user: str, lane: Lane = "ordinary") -> Candidate:
    source = ChatMessage(id=user, channel="c", ts=0, user=user, text="hi")
    return Candidate(
        source=source, reason="mention", detail="", points=1.0, since=0, until=1, lane=lane
    )


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=80),
    st.sampled_from([0.3, 0.4, 0.5, 1.0]),
)
def test_ordinary_viewers_get_their_share_whenever_they_wait(
    waiting: list[tuple[bool, bool]], share: float
) -> None:
    fairness = make(ordinary_share=share)
    taken, due = 0, 0
    for number, (ordinary_waits, favoured_waits) in enumerate(waiting):
        owed = fairness.owes_ordinary(number)
        if ordinary_waits and (owed or not favoured_waits):
            fairness.note(candidate(f"o{number}"), number)
            taken += 1
        elif favoured_waits:
            fairness.note(candidate(f"f{number}", "favoured"), number)
        due += ordinary_waits and favoured_waits
    assert taken >= int(due * share) - 1


def test_without_a_reserved_share_nothing_is_owed() -> None:
    fairness = make(ordinary_share=0)
    for number in range(5):
        fairness.note(candidate(f"v{number}", "favoured"), number)
        assert not fairness.owes_ordinary(number)


def test_what_is_owed_ends_with_the_window() -> None:
    fairness = make(ordinary_share=0.5, fair_window=60)
    fairness.note(candidate("vip", "favoured"), 0)
    assert fairness.owes_ordinary(59 * SECOND)
    assert not fairness.owes_ordinary(60 * SECOND)


def test_a_viewer_may_have_one_reply_and_then_a_share() -> None:
    fairness = make(viewer_share=0.2, fair_window=300)
    assert not fairness.has_had_share("ana", 0)
    fairness.note(candidate("ana"), 0)
    assert fairness.has_had_share("ana", 1)
    for number in range(8):
        fairness.note(candidate(f"u{number}"), number)
    assert not fairness.has_had_share("ana", 10), "two of ten are a fifth"
    fairness.note(candidate("ana"), 10)
    assert fairness.has_had_share("ana", 11)
    assert not fairness.has_had_share("ana", 400 * SECOND)


def test_the_streamer_takes_from_nobody() -> None:
    fairness = make()
    for now in range(5):
        fairness.note(candidate("marlow", "streamer"), now)
    assert not fairness.has_had_share("marlow", 6)
    assert not fairness.owes_ordinary(6)
    assert fairness.was_just_answered(candidate("marlow"), 6)


def test_only_so_many_replies_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPLIES", 3)
    fairness = make()
    for now, user in enumerate(["ana", "ben", "cleo", "dan"]):
        fairness.note(candidate(user), now)
    assert not fairness.has_had_share("ana", 5)
    assert fairness.has_had_share("ben", 5)
