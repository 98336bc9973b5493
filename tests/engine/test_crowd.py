"""What counts as the same message, who said it, and that all of it stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.config import DirectorSettings
from understudy.engine import crowd as module
from understudy.engine.crowd import Crowd, Crowds, GistReader
from understudy.events import ChatMessage, Moderation

READER = GistReader(["understudy", "co-host"])
SECOND = 1000


def message(id: str, text: str, user: str = "ana", name: str = "") -> ChatMessage:
    return ChatMessage(id=id, channel="c", ts=0, user=user, text=text, name=name)


def make(**changes: object) -> Crowds:
    return Crowds(DirectorSettings(**changes))  # pyright: ignore[reportArgumentType]


def join(crowds: Crowds, user: str, text: str, now: int = 0) -> Crowd | None:
    return crowds.join(message(f"{user}-{now}", text, user), READER.read(text), now)


def same(one: str, other: str) -> bool:
    crowds = make()
    first, second = join(crowds, "ana", one), join(crowds, "ben", other)
    assert first is not None
    return first is second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("what keyboard do you use?", "WHAT KEYBOARD DO YOU USE"),
        ("what game is this?", "yo whaaaat gameeee is this pls??"),
        ("co-host, what keyboard do you use?", "what keyboard do you use, understudy?"),
        ("do you use what keyboard", "what keyboard do you use"),
        ("what keyboard do you use", "what keyboard do you use today"),
        ("what keyboard do you use today", "what keyboard do you use"),
        ("what about level 3 and its boss", "what about level 3 and boss"),
        (
            "i sold my car my house and my cat to see this moment",
            "i sold my bike my house and my cat to see this moment",
        ),
        ("\u65e5\u672c\u8a9e\u3067\u8a71\u3059", "\u65e5\u672c\u8a9e\u3067\u8a71\u3059\uff1f"),
    ],
)
def test_the_same_in_other_words(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("what keyboard do you use", "what headset do you use"),
        ("what about level 3", "what about level 4"),
        ("what about level 3 and its boss", "what about level 4 and its boss"),
        ("what is your name", "what is your game"),
        ("what are you", "what are you eating"),
        ("when does the next match start here", "who does the next match start here"),
    ],
)
def test_what_only_looks_the_same(one: str, other: str) -> None:
    assert not same(one, other)


def test_of_a_long_text_only_so_many_words_are_compared() -> None:
    long = " ".join(f"word{chr(97 + number)}" for number in range(26))
    assert len(READER.read(long).words) == module.MAX_WORDS
    assert same(long, f"{long} indeed")
    assert len(READER.read("x y " * 10_000).words) == 2


@pytest.mark.parametrize("text", ["hi", "hey co-host!", "??", "", "LUL", "understudy hello"])
def test_what_says_too_little_has_no_crowd(text: str) -> None:
    assert join(make(), "ana", text) is None


def test_emotes_say_nothing() -> None:
    with_emotes = READER.read("Kappa what game Kappa", "25:0-4,16-20")
    assert with_emotes.words == ("what", "game")
    assert READER.read("what game", "25:90-9999/1:5-2").words == ("what", "game")


def test_people_count_once_and_the_latest_are_named_first() -> None:
    crowds = make()
    for user in ("ana", "ben", "ana", "cleo"):
        crowd = crowds.join(
            message(user, "what game", user, user.title()), READER.read("what game"), 0
        )
    assert crowd is not None
    assert crowd.size == 3
    assert list(crowd.others("cleo")) == ["Ana", "Ben"]
    assert crowd.points == pytest.approx(1.585, abs=0.001)


def test_what_was_answered_begins_anew_and_is_no_news_for_a_while() -> None:
    crowds = make(crowd_window=60, penalty_repeat=1.0)
    crowd = join(crowds, "ana", "what game", 0)
    assert crowd is not None
    crowd.settle(SECOND)
    assert crowd.size == 0
    for user in ("ben", "cleo"):
        assert join(crowds, user, "what game", 2 * SECOND) is crowd
    assert (crowd.size, crowd.points) == (2, -1.0)
    for later in range(3, 61):
        join(crowds, "dan", "what game", later * SECOND)
    assert join(crowds, "eve", "what game", 61 * SECOND) is crowd
    assert crowd.points == 2.0, "four people, and no longer fresh"


def test_it_is_forgotten_after_a_while() -> None:
    crowds = make(crowd_window=10)
    first = join(crowds, "ana", "what game is it today then", 0)
    assert join(crowds, "ben", "what game", 9 * SECOND) is not None
    assert join(crowds, "ben", "what game is it today then", 10 * SECOND) is not first
    assert len(crowds) == 2


def test_moderation_takes_people_out() -> None:
    crowds = make()
    for user in ("ana", "Ben", "cleo"):
        crowd = join(crowds, user, "what game")
    assert crowd is not None
    crowds.remove(Moderation(id="1", channel="c", ts=0, kind="ban", user="ben"))
    crowds.remove(Moderation(id="2", channel="c", ts=0, kind="delete", message_id="ana-0"))
    assert list(crowd.others("")) == ["cleo"]
    assert crowd.points == 0
    crowds.remove(Moderation(id="3", channel="c", ts=0, kind="clear"))
    assert len(crowds) == 0


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CROWDS", 3)
    monkeypatch.setattr(module, "MAX_PEOPLE", 2)
    crowds = make()
    first = join(crowds, "ana", "what keyboard is that one today")
    for number in range(3):
        join(crowds, "ana", f"what about number{number}")
    assert len(crowds) == 3
    assert join(crowds, "ana", "what keyboard is that one today") is not first
    for user in ("ana", "ben", "cleo"):
        crowd = join(crowds, user, "what game")
    assert crowd is not None
    assert crowd.size == 2


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.text(max_size=40)), max_size=40))
def test_any_text_joins_at_most_one_crowd(said: list[tuple[str, str]]) -> None:
    crowds = make(crowd_window=5)
    for now, (user, text) in enumerate(said):
        crowd = join(crowds, user, text, now * SECOND)
        if crowd is not None:
            assert 1 <= crowd.size <= 4
            assert join(crowds, user, text, now * SECOND) is crowd
