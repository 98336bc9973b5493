"""The director as a pure state machine: what is chosen, and that every fate is told once."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.config import DirectorSettings
from understudy.engine import fairness as module
from understudy.engine.addressing import AddressReader
from understudy.engine.candidates import Outcome
from understudy.engine.director import FLOOD, Director
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


# --- crowds


def ask(
    director: Director, users: str, now: int = 0, text: str = "what game is this?"
) -> list[str]:
    """Let each of `users` ask `text`, and return the reasons that are settled by it."""
    settled: list[str] = []
    for user in users:
        outcomes = director.consider(message(f"{user}{now}", text, user), now)
        settled += [outcome.reason for outcome in outcomes]
    return settled


def test_people_who_ask_the_same_are_one_candidate() -> None:
    director = make()
    assert ask(director, "abcde") == ["crowd"] * 4
    picked = director.pick(0)
    assert picked is not None
    assert picked.source.user == "a"
    assert picked.cue.startswith("5 people in the chat say this")
    assert "among them e, d, c:" in picked.cue
    assert picked.detail == "It asks the room a question, and 5 people say the same."
    assert picked.score == pytest.approx(1 + 2.32, abs=0.01)


def test_a_crowd_outweighs_a_mention_and_is_answered_once() -> None:
    director = make()
    director.consider(message("m", "undy hi", "zoe"), 0)
    ask(director, "abcdefgh")
    director.consider(message("n", "undy hi", "yan"), 1)
    assert pick_users(director, 1) == ["a"]
    assert ask(director, "ij", 4 * SECOND) == ["crowd"]
    assert pick_users(director, 2, now=5 * SECOND) == ["zoe", "yan"], "the answer is known by now"


def test_the_newest_stands_for_a_crowd_whose_first_has_waited_long() -> None:
    director = make(max_age=10)
    director.consider(message("m", "undy hi", "zoe"), 0)
    director.pick(0)
    assert ask(director, "a") == []
    assert reasons(director.consider(message("b", "what game is this??", "b"), 6 * SECOND)) == [
        ("a0", "crowd")
    ]
    better = message("c", "undy what game is this?", "c")
    assert reasons(director.consider(better, 6 * SECOND)) == [("b", "crowd")]
    assert reasons(director.consider(message("c2", "what game is this?", "c"), 6 * SECOND)) == [
        ("c2", "crowd")
    ]
    director.finished(7 * SECOND)
    assert pick_users(director, 1, now=11 * SECOND) == ["c"]


def test_a_crowd_outlives_those_who_had_to_give_way() -> None:
    director = make(max_waiting=2)
    ask(director, "a")
    for number in range(4):
        director.consider(message(f"{number}", f"what about thing{number}?", f"u{number}"), 1)
    assert ask(director, "b", 2) == ["outranked"]
    picked = director.pick(3)
    assert picked is not None
    assert picked.source.user == "b"
    assert "2 people" in picked.cue


def test_a_deleted_message_takes_its_author_out_of_the_crowd() -> None:
    director = make()
    ask(director, "abc")
    director.moderate(Moderation(id="x", channel="c", ts=0, kind="delete", message_id="b0"))
    director.moderate(Moderation(id="y", channel="c", ts=0, kind="timeout", user="a"))
    assert ask(director, "d", 1) == []
    picked = director.pick(1)
    assert picked is not None
    assert "2 people" in picked.cue
    assert "c:" in picked.cue


# --- shares


def test_ordinary_viewers_are_answered_however_many_have_a_badge() -> None:
    director = make(max_waiting=8, cooldown=0, max_age=1000)
    for number in range(30):
        vip = message(f"v{number}", f"undy hi {number}", f"vip{number}", role="vip")
        director.consider(vip, number)
        asked = message(f"q{number}", f"is{number} it hard?", f"u{number}")
        director.consider(asked, number)
    users = pick_users(director, 8, now=100)
    assert sum(user.startswith("u") for user in users) == 4


def test_who_had_a_share_waits_for_the_others() -> None:
    director = make(viewer_cooldown=0, max_age=60)
    director.consider(message("1", "undy a"), 0)
    pick_users(director, 1)
    director.consider(message("2", "undy b?"), SECOND)
    director.consider(message("3", "is it hard?", "ben"), SECOND)
    assert pick_users(director, 2, now=10 * SECOND) == ["ben", "ana"]
    director.consider(message("4", "undy c"), 20 * SECOND)
    assert reasons(director.expire(100 * SECOND)) == [("4", "fair_share")]


def test_the_streamer_goes_first() -> None:
    director = make()
    raid = StreamEvent(id="1", channel="c", ts=0, kind="raid", user="cap", amount=400)
    director.consider_event(raid, 0)
    director.consider(message("2", "is it over?", "marlow", role="streamer"), 0)
    assert pick_users(director, 2) == ["marlow", "cap"]


def test_the_streamer_is_not_pushed_out() -> None:
    director = make(max_waiting=2)
    director.consider(message("2", "is it over?", "marlow", role="streamer"), 0)
    for number in range(6):
        vip = message(f"v{number}", f"undy hi {number}", f"vip{number}", role="vip")
        director.consider(vip, number)
    assert pick_users(director, 1, now=10) == ["marlow"]


# --- points


@pytest.mark.parametrize(
    "better",
    [
        message("2", "undy hi", "bob", first=True),
        message("2", "undy hi", "bob", role="subscriber"),
        message("2", "undy hi", "bob", tags={"bits": "100"}),
        message("2", "undy hi swordfish", "bob"),
    ],
)
def test_what_counts_for_a_message(better: ChatMessage) -> None:
    director = make()
    director.hear("that swordfish again", 0)
    director.consider(message("1", "undy hi zebra"), 0)
    director.consider(better, 1)
    assert pick_users(director, 1, now=1) == ["bob"]


def test_a_message_from_another_room_ranks_lower_and_has_no_standing() -> None:
    director = make()
    tags = {"room-id": "1", "source-room-id": "2"}
    director.consider(message("1", "undy hi", "mod", role="streamer", tags=tags), 0)
    director.consider(message("2", "undy hi", "bob"), 1)
    here = message("3", "undy hi", "cleo", tags={"room-id": "1", "source-room-id": "1"})
    director.consider(here, 2)
    assert pick_users(director, 3) == ["bob", "cleo", "mod"]
    assert director.consider(message("4", "!so bob", tags=tags), 2)[0].reason == "command"


def test_odd_bits_are_no_bits() -> None:
    director = make()
    for number, bits in enumerate(["", "-5", "\u0663", "9" * 20, "0", "x"]):
        tags = {"bits": bits}
        assert director.consider(message(f"{number}", "undy hi", f"u{number}", tags=tags), 0) == []


# --- silence, holds, controls


def test_it_speaks_into_a_silence_when_it_should() -> None:
    director = make(quiet_chat="ask", quiet_after=45, cooldown=4)
    assert director.wake_at() is None
    director.consider(message("1", "hm"), 0)
    assert director.wake_at() == 45 * SECOND
    director.hold(50 * SECOND)
    assert director.wake_at() == 50 * SECOND
    assert director.pick(45 * SECOND) is None
    picked = director.pick(50 * SECOND)
    assert picked is not None
    assert picked.reason == "quiet_ask"
    assert director.wake_at() is None
    director.finished(55 * SECOND)
    assert director.wake_at() == (55 + 90) * SECOND
    assert director.pick(100 * SECOND) is None
    director.muted = True
    assert director.wake_at() is None


def test_nothing_is_picked_while_the_streamer_speaks() -> None:
    director = make()
    director.hold(5 * SECOND)
    director.consider(message("1", "undy hi"), 0)
    assert director.pick(0) is None
    assert director.wake_at() == 5 * SECOND
    director.hold(0)
    assert director.pick(0) is not None


def test_controls_are_drawn_by_id_and_take_no_turn() -> None:
    director = make(silent_control=0.2, cooldown=0, viewer_cooldown=0)
    drawn: list[str] = []
    for number in range(200):
        director.consider(message(f"m{number}", "undy hi", f"u{number}"), number)
        picked = director.pick(number)
        assert picked is not None
        if picked.control:
            drawn.append(picked.source.id)
            assert director.pick(number) is None
        else:
            director.finished(number)
    assert 20 <= len(drawn) <= 60
    again = make(silent_control=0.2)
    for id in drawn:
        again.consider(message(id, "undy hi", id), 0)
        picked = again.pick(0)
        assert picked is not None
        assert picked.control
    streamer = message(drawn[0], "undy hi", "marlow", role="streamer")
    again.consider(streamer, 0)
    picked = again.pick(0)
    assert picked is not None
    assert not picked.control


TEXTS = st.sampled_from(
    ["undy hi", "hello all", "@bob hey", "!cmd", "undy why?", "marlow go", "has it been long?"]
)
SAME = st.sampled_from(["what is this game?", "undy what game is this", "what game is this??"])
ROLES = st.sampled_from(["viewer", "viewer", "viewer", "vip", "subscriber", "streamer"])
ACTS = st.sampled_from(["", "", "", "", "finish", "finish", "hold", "timeout", "delete", "clear"])
STEPS = st.lists(
    st.tuples(st.sampled_from("abcdef"), TEXTS | SAME, ROLES, st.integers(0, 9_000), ACTS),
    max_size=60,
)
QUIET = st.sampled_from(["silent", "ask", "continue"])


@given(STEPS, QUIET, st.sampled_from([0.0, 0.2]), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_every_message_has_exactly_one_fate(
    steps: list[tuple[str, str, str, int, str]], quiet: str, control: float, places: int
) -> None:
    director = make(
        max_waiting=places, max_age=6.0, quiet_after=10, quiet_chat=quiet, silent_control=control
    )
    now = 0
    fates: Counter[str] = Counter()
    for index, (user, text, role, pause, act) in enumerate(steps):
        now += pause
        outcomes: list[Outcome] = []
        if act == "finish":
            director.finished(now)
        elif act == "hold":
            director.hold(now + pause)
        elif act:
            id, gone = f"m{index - 1}", Moderation
            outcomes = director.moderate(
                gone(id=act, channel="c", ts=now, kind=act, message_id=id, user=user)
            )
        outcomes += director.consider(message(f"m{index}", text, user, role=role), now)
        outcomes += director.expire(now)
        fates.update(outcome.source.id for outcome in outcomes)
        if (picked := director.pick(now)) is not None:
            fates[picked.source.id] += 1
        assert director.waiting <= places
        wake = director.wake_at()
        assert wake is None or isinstance(wake, int)
    fates.update(outcome.source.id for outcome in director.dismiss("stream_ended", ""))
    by_itself = {id for id in fates if id.startswith("quiet-")}
    assert all(fates.pop(id) == 1 for id in by_itself)
    assert fates == Counter({f"m{index}": 1 for index in range(len(steps))})


@given(STEPS, QUIET)
@settings(max_examples=50, deadline=None)
def test_waking_when_it_says_always_leads_on(
    steps: list[tuple[str, str, str, int, str]], quiet: str
) -> None:
    """Simulated time jumps from one waking to the next: none may lead back to itself."""
    director = make(max_age=6.0, quiet_after=10, quiet_chat=quiet)
    now = 0
    for index, (user, text, role, pause, _) in enumerate(steps):
        director.consider(message(f"m{index}", text, user, role=role), now)
        for _ in range(100):
            wake = director.wake_at()
            if wake is None or wake > now + pause:
                break
            now = max(now, wake)
            director.expire(now)
            if (picked := director.pick(now)) is not None and not picked.control:
                director.finished(now + 500)
        else:
            raise AssertionError("it wakes for nothing")
        now += pause
