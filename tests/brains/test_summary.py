from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.base import BrainMessage
from understudy.brains.scripted.summary import LONGEST, key_sentences, summarize


def user(text: str) -> BrainMessage:
    return BrainMessage("user", text)


def test_an_empty_conversation_has_nothing_to_sum_up():
    assert "nothing" in summarize([BrainMessage("system", "Be kind."), user("/summarize")])


def test_a_conversation_of_emotes_has_no_subject():
    assert summarize([user("<3")]) == "So far 1 message, short ones without a clear subject."


def test_answers_are_quoted_when_viewers_said_nothing_of_substance():
    text = summarize([user("?"), BrainMessage("assistant", "[happy] Drink some water!")])
    assert text == "So far 2 messages. In their own words: “Drink some water!”"


def test_central_sentences_come_in_their_order_and_not_twice():
    texts = ["Cats sleep. Cats sleep!", "Dogs bark.", "Cats chase dogs and birds."]
    assert key_sentences(texts, 2) == ["Cats sleep.", "Cats chase dogs and birds."]


def test_long_sentences_are_cut_at_a_word():
    (point,) = key_sentences(["word " * 100], 1)
    assert point.endswith("word…")
    assert len(point) <= LONGEST + 1


@given(st.lists(st.text(max_size=60), max_size=8), st.integers(0, 4))
def test_never_more_sentences_than_asked_for(texts, limit):
    assert len(key_sentences(texts, limit)) <= limit
