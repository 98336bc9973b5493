"""The director as a pure state machine: what is chosen, and that every fate is told once."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.config import DirectorSettings
from understudy.engine import director as module
from understudy.engine.addressing import AddressReader
from understudy.engine.director import FLOOD, Director, Outcome
from understudy.events import ChatMessage, Moderation, StreamEvent

SECOND = 1000


def make(**changes: object) -> Director:
    config = DirectorSettings(**changes)  # pyright: ignore[reportArgumentType]
    return Director(config, AddressReader(["understudy", "undy"], ["marlow"]))


def message(id: str, text: str, user: str = "ana", **fields: object) -> ChatMessage:
    return ChatMessage(id=id, channel="c", ts=0, user=user, text=text, **fields)


def reasons(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.source.id, outcome.reason) for outcome in outcomes]


def test_a_mention_is_answered_and_small_talk_is_not() -> None:
    director = make()
    assert director.consider(message("1", "undy, hello"), 0) == []
    assert reasons(director.consider(message("2", "nice weather", "bob"), 0)) == [
        ("2", "not_addressed")
    ]
    picked = director.pick(0)
    assert picked is not None
    assert (picked.source.id, picked.reason) == ("1", "mention")


def test_reply_question_and_others() -> None:
    director = make()
    reply = message("1", "and then?", reply_to="m0", reply_to_user="understudy")
    director.consider(reply, 0)
    director.consider(message("2", "what is this game about?", "bob"), 0)
    assert reasons(director.consider(message("3", "@cleo why?", "dan"), 0)) == [
        ("3", "addressed_to_other")
    ]
    first = director.pick(0)
    director.finished(0)
    second = director.pick(4 * SECOND)
    assert first is not None
    assert second is not None
    assert [first.reason, second.reason] == ["reply_to_cohost", "question"]


def test_bots_commands_and_the_cohost_itself_are_refused() -> None:
    director = make()
    refused = [
        message("1", "undy follow for more", "NightBot"),
        message("2", "!uptime undy"),
        message("3", "undy is me", "understudy"),
    ]
    got = [director.consider(m, 0)[0].reason for m in refused]
    assert got == ["bot", "command", "own_message"]


def test_nothing_is_picked_while_speaking_or_cooling_down() -> None:
    director = make(cooldown=4.0)
    director.consider(message("1", "undy a"), 0)
    director.consider(message("2", "undy b", "bob"), 0)
    assert director.pick(0) is not None
    assert director.pick(100) is None
    director.finished(2 * SECOND)
    assert director.pick(5 * SECOND) is None
    assert director.wake_at() == 6 * SECOND
    assert director.pick(6 * SECOND) is not None


def test_a_candidate_grows_too_old() -> None:
    director = make(max_age=15.0)
    director.consider(message("1", "undy a"), 0)
    assert director.expire(15 * SECOND) == []
    assert reasons(director.expire(15 * SECOND + 1)) == [("1", "expired")]
    assert director.wake_at() is None


def test_a_newer_message_of_the_same_viewer_supersedes() -> None:
    director = make()
    director.consider(message("1", "undy a"), 0)
    assert reasons(director.consider(message("2", "undy b"), 10)) == [("1", "superseded")]


def test_a_plain_question_does_not_push_out_the_viewers_own_mention() -> None:
    director = make()
    director.consider(message("1", "undy what is your name?"), 0)
    assert director.consider(message("2", "is this on pc or what?"), 10) == []


def test_the_weakest_waiting_message_is_outranked() -> None:
    director = make(max_waiting=2)
    director.consider(message("1", "what is this game about?", "bob"), 0)
    director.consider(message("2", "undy hi", "cleo"), 1)
    assert reasons(director.consider(message("3", "undy hello", "dan"), 2)) == [("1", "outranked")]


def test_a_viewer_answered_a_moment_ago_stands_back() -> None:
    director = make(cooldown=0, viewer_cooldown=20)
    director.consider(message("1", "undy a"), 0)
    director.pick(0)
    director.finished(0)
    director.consider(message("2", "undy b"), SECOND)
    director.consider(message("3", "undy c", "bob"), 2 * SECOND)
    picked = director.pick(2 * SECOND)
    assert picked is not None
    assert picked.source.user == "bob"


def test_small_talk_is_welcome_when_the_chat_is_quiet() -> None:
    director = make(quiet_after=45)
    director.consider(message("1", "hm"), 0)
    assert director.consider(message("2", "so quiet here", "bob"), 46 * SECOND) == []
    picked = director.pick(46 * SECOND)
    assert picked is not None
    assert picked.reason == "quiet_chat"


def test_a_raid_comes_before_a_mention() -> None:
    director = make()
    director.consider(message("1", "undy hi"), 0)
    raid = StreamEvent(id="2", channel="c", ts=0, kind="raid", user="cap", amount=40)
    other = StreamEvent(id="3", channel="c", ts=0, kind="other", user="x")
    director.consider_event(raid, 0)
    assert director.consider_event(other, 0)[0].reason == "no_template"
    picked = director.pick(0)
    assert picked is not None
    assert picked.source is raid


def test_moderation_takes_waiting_messages_away() -> None:
    director = make()
    director.consider(message("1", "undy a", "troll"), 0)
    director.consider(message("2", "undy b", "bob"), 0)
    timeout = Moderation(id="x", channel="c", ts=0, kind="timeout", user="troll")
    delete = Moderation(id="y", channel="c", ts=0, kind="delete", message_id="2")
    assert reasons(director.moderate(timeout)) == [("1", "deleted")]
    assert reasons(director.moderate(delete)) == [("2", "deleted")]
    assert director.pick(0) is None


def test_muted_answers_nobody() -> None:
    director = make()
    director.consider(message("1", "undy a"), 0)
    director.muted = True
    assert reasons(director.dismiss("muted", "")) == [("1", "muted")]
    assert director.consider(message("2", "undy b", "bob"), 0)[0].reason == "muted"
    assert director.pick(0) is None


# --- fairness


def pick_users(director: Director, count: int, pause: int = 5 * SECOND, now: int = 0) -> list[str]:
    """Whom the next picks answer, with instant replies."""
    users: list[str] = []
    for step in range(count):
        at = now + step * pause
        picked = director.pick(at)
        if picked is not None:
            users.append(picked.source.user)
            director.finished(at)
    return users


def test_a_direct_question_comes_before_a_greeting() -> None:
    director = make()
    director.consider(message("1", "hi undy"), 0)
    director.consider(message("2", "undy, what is this?", "bob"), 1)
    assert pick_users(director, 2) == ["bob", "ana"]


def test_of_equals_the_oldest_comes_first_and_in_a_flood_the_newest() -> None:
    few, flood = make(), make()
    for number in range(FLOOD):
        few.consider(message(f"{number}", "undy hi", f"u{number}"), number)
    for number in range(20):
        flood.consider(message(f"{number}", "undy hi", f"u{number}"), number)
    assert pick_users(few, 1) == ["u0"]
    assert pick_users(flood, 2) == ["u19", "u18"]


def test_nobody_who_asks_all_the_time_keeps_the_others_out() -> None:
    director = make(viewer_cooldown=0, max_age=60.0)
    users: list[str] = []
    for turn in range(8):
        now = turn * 10 * SECOND
        director.consider(message(f"v{turn}", "undy?", "vip", role="vip"), now)
        director.consider(message(f"a{turn}", "undy?", f"u{turn}"), now + 1)
        users += pick_users(director, 1, now=now + 2)
    assert users[0] == "vip"
    assert len([user for user in users if user != "vip"]) >= 6
    assert "vip" in users


def test_a_share_is_forgotten_with_time() -> None:
    director = make(viewer_cooldown=0)
    director.consider(message("1", "undy hi", "vip", role="vip"), 0)
    assert pick_users(director, 1) == ["vip"]
    later = 30 * 60 * SECOND
    director.consider(message("2", "undy hi", "vip", role="vip"), later)
    director.consider(message("3", "undy hi", "bob"), later)
    assert pick_users(director, 1, now=later) == ["vip"]


def test_talk_to_the_room_by_a_viewer_just_answered_is_let_go() -> None:
    director = make(viewer_cooldown=20)
    director.consider(message("1", "undy, what is this game?"), 0)
    director.consider(message("2", "is this on pc or what"), 1)
    assert pick_users(director, 1, now=2) == ["ana"]
    assert director.wake_at() == 2 + 4 * SECOND
    assert reasons(director.expire(director.wake_at() or 0)) == [("2", "cooldown")]
    assert reasons(director.consider(message("3", "is it hard to play"), 19 * SECOND)) == [
        ("3", "cooldown")
    ]
    assert director.consider(message("4", "is it hard to play"), 21 * SECOND) == []


def test_being_thanked_is_no_reason_to_go_unanswered() -> None:
    director = make()
    raid = StreamEvent(id="1", channel="c", ts=0, kind="raid", user="cap", amount=40)
    director.consider_event(raid, 0)
    assert pick_users(director, 1) == ["cap"]
    assert director.consider(message("2", "is it hard to play", "cap"), SECOND) == []


def test_thanks_are_welcome_longer_than_answers() -> None:
    director = make(max_age=15.0)
    cheer = StreamEvent(id="1", channel="c", ts=0, kind="cheer", user="cap", amount=40)
    director.consider_event(cheer, 0)
    director.consider(message("2", "undy hi"), 0)
    assert director.settled_by() == 60 * SECOND + 1
    assert reasons(director.expire(16 * SECOND)) == [("2", "expired")]
    late = director.expire(61 * SECOND)
    assert reasons(late) == [("1", "expired")]
    assert "60 s" in late[0].detail
    assert director.settled_by() is None


def test_a_muted_cohost_thanks_nobody() -> None:
    director = make()
    director.muted = True
    raid = StreamEvent(id="1", channel="c", ts=0, kind="raid", user="cap")
    assert reasons(director.consider_event(raid, 0)) == [("1", "muted")]


def test_bots_and_commands_do_not_break_the_silence() -> None:
    director = make(quiet_after=45)
    director.consider(message("1", "hm"), 0)
    director.consider(message("2", "follow the stream", "nightbot"), 30 * SECOND)
    director.consider(message("3", "!uptime", "bob"), 40 * SECOND)
    assert director.consider(message("4", "so quiet here", "cleo"), 46 * SECOND) == []
    assert make(quiet_after=0).consider(message("1", "hm"), 10**9)[0].reason == "not_addressed"


def test_without_a_command_prefix_talk_is_still_talk() -> None:
    director = make(command_prefix="")
    assert director.consider(message("1", "undy hi"), 0) == []
    assert reasons(director.consider(message("2", "/me undy", "bob"), 0)) == [("2", "command")]


def test_only_so_many_shares_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VIEWERS", 2)
    director = make(viewer_cooldown=100, cooldown=0)
    for number, user in enumerate("abc"):
        director.consider(message(user, "undy hi", user), number)
        assert pick_users(director, 1, now=number) == [user]
    asks = "is it hard to play"
    assert director.consider(message("a2", asks, "a"), 10) == [], "a is forgotten"
    assert reasons(director.consider(message("b2", asks, "b"), 10)) == [("b2", "cooldown")]


def test_a_cleared_chat_leaves_events_alone() -> None:
    director = make()
    raid = StreamEvent(id="1", channel="c", ts=0, kind="raid", user="cap")
    director.consider_event(raid, 0)
    director.consider(message("2", "undy hi"), 0)
    clear = Moderation(id="x", channel="c", ts=0, kind="clear")
    nobody = Moderation(id="y", channel="c", ts=0, kind="ban")
    assert reasons(director.moderate(clear)) == [("2", "deleted")]
    assert director.moderate(nobody) == []


TEXTS = st.sampled_from(
    ["undy hi", "hello all", "what is this game?", "@bob hey", "!cmd", "undy why?", "marlow go"]
)
STEPS = st.lists(
    st.tuples(st.sampled_from("abcdef"), TEXTS, st.integers(0, 9_000), st.booleans()), max_size=60
)


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_every_message_has_exactly_one_fate(
    steps: list[tuple[str, str, int, bool]],
) -> None:
    director = make(max_waiting=3, max_age=6.0)
    now = 0
    fates: Counter[str] = Counter()
    for index, (user, text, pause, finish) in enumerate(steps):
        now += pause
        if finish:
            director.finished(now)
        outcomes = director.consider(message(f"m{index}", text, user), now)
        outcomes += director.expire(now)
        fates.update(outcome.source.id for outcome in outcomes)
        if (picked := director.pick(now)) is not None:
            fates[picked.source.id] += 1
    fates.update(outcome.source.id for outcome in director.dismiss("stream_ended", ""))
    assert fates == Counter({f"m{index}": 1 for index in range(len(steps))})
