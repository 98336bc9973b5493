import random

from understudy.brains.scripted.conversation import (
    SEEN_VIEWERS,
    WINDOW,
    Conversation,
    Conversations,
)


def test_only_the_last_20_answers_are_not_fresh():
    talk = Conversation(random.Random(1))
    for number in range(WINDOW + 1):
        talk.remember(f"[happy] Answer  {number}", "x")
    assert talk.is_fresh("answer 0")
    assert not talk.is_fresh("ANSWER 1 [sad:0.5]")


def test_the_quietest_conversation_is_forgotten_first():
    talks = Conversations(seed=1, kept=2)
    first = talks.get("a")
    talks.get("b")
    assert talks.get("a") is first
    second = talks.get("b")
    talks.get("c")
    assert talks.get("b") is second
    assert talks.get("a") is not first


def test_a_crowd_of_viewers_is_not_kept_for_ever():
    talk = Conversation(random.Random(1))
    assert not talk.meet("first")
    assert talk.meet("first")
    for number in range(SEEN_VIEWERS):
        talk.meet(f"viewer{number}")
    assert not talk.meet("first")
