"""What the co-host does about silence."""

from understudy.config import DirectorSettings
from understudy.engine.quiet import MOST_TIMES, Quiet
from understudy.events import ChatMessage

SECOND = 1000
HELLO = ChatMessage(id="1", channel="harbor", ts=0, user="ana", text="hi")


def make(**changes: object) -> Quiet:
    return Quiet(DirectorSettings(**{"quiet_after": 45, **changes}))  # pyright: ignore[reportArgumentType]


def test_by_default_it_stays_silent() -> None:
    quiet = make()
    assert not quiet.is_quiet(10**9)
    quiet.heard(HELLO, 0)
    assert quiet.is_quiet(45 * SECOND)
    assert quiet.due_at() is None
    assert quiet.speak_up(10**9) is None


def test_it_asks_a_few_times_ever_later_until_somebody_writes() -> None:
    quiet = make(quiet_chat="ask")
    assert quiet.due_at() is None, "nobody was there yet"
    quiet.heard(HELLO, 0)
    now, pauses = 0, []
    while (due := quiet.due_at()) is not None:
        assert quiet.speak_up(due - 1) is None
        candidate = quiet.speak_up(due)
        assert candidate is not None
        assert (candidate.reason, candidate.source.channel) == ("quiet_ask", "harbor")
        assert "question" in candidate.cue
        pauses.append((due - now) // SECOND)
        now = due + 5 * SECOND
        quiet.spoke(now)
    assert pauses == [45, 90, 180]
    assert len(pauses) == MOST_TIMES
    quiet.heard(HELLO, now)
    assert quiet.due_at() == now + 45 * SECOND


def test_it_goes_on_by_itself() -> None:
    quiet = make(quiet_chat="continue")
    quiet.heard(HELLO, 0)
    candidate = quiet.speak_up(45 * SECOND)
    assert candidate is not None
    assert candidate.reason == "quiet_continue"


def test_without_a_limit_no_chat_is_quiet() -> None:
    quiet = make(quiet_after=0, quiet_chat="ask")
    quiet.heard(HELLO, 0)
    assert quiet.due_at() is None
    assert not quiet.is_quiet(10**9)
