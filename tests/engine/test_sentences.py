# The examples are written in several scripts on purpose.
# ruff: noqa: RUF001

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.engine.sentences import MAX_CHARS, SentenceCutter


def cut(text: str, *, step: int = 1_000, first_clause: int | None = 6) -> list[str]:
    cutter = SentenceCutter(first_clause=first_clause)
    sentences: list[str] = []
    for at in range(0, len(text), step):
        sentences += cutter.feed(text[at : at + step])
    return sentences + cutter.finish()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It is 3.5 km. Fine.", ["It is 3.5 km.", "Fine."]),
        ("We have 1,000,000.50 points. Wow.", ["We have 1,000,000.50 points.", "Wow."]),
        ("Ask Mr. Smith, e.g. today. Ok.", ["Ask Mr. Smith, e.g. today.", "Ok."]),
        ("Well... I think so. Yes… maybe.", ["Well... I think so.", "Yes… maybe."]),
        ("See https://a.b/c?d=e. Or x.com! Go.", ["See https://a.b/c?d=e.", "Or x.com!", "Go."]),
        ("By J. R. R. Tolkien. Great.", ["By J. R. R. Tolkien.", "Great."]),
        ("It was I. Really.", ["It was I.", "Really."]),
        ("What?! No!!! Ok.", ["What?!", "No!!!", "Ok."]),
        ('He said "go." Then left.', ['He said "go."', "Then left."]),
        ("Great!😀 Next one 😀 here.", ["Great!😀", "Next one 😀 here."]),
        ("line one\nline two\n\n", ["line one", "line two"]),
        ("1. First it. 2. Then that.", ["1. First it.", "2. Then that."]),
        ("At 5 p.m. we go. At 6 p.m. They go.", ["At 5 p.m. we go.", "At 6 p.m.", "They go."]),
        (
            "Cats, dogs etc. are ok. Cats etc. Dogs.",
            ["Cats, dogs etc. are ok.", "Cats etc.", "Dogs."],
        ),
        ("It is No. 5 now. No. It is not.", ["It is No. 5 now.", "No.", "It is not."]),
        ("In the U.S. it is", ["In the U.S. it is"]),
        ("Ends with e.g. ", ["Ends with e.g."]),
        ("你好。今天怎么样？「好！」她说。", ["你好。", "今天怎么样？", "「好！」", "她说。"]),
        ("", []),
        ("  \n \n", []),
    ],
)
def test_sentences_end_where_a_reader_would_stop(text: str, sentences: list[str]) -> None:
    assert cut(text, first_clause=None) == sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there, how are you, friend?", ["Hello there,", "how are you, friend?"]),
        ("Well, I am fine.", ["Well, I am fine."]),
        ("Hello there - go on.", ["Hello there -", "go on."]),
        ("Wait-listed people — go.", ["Wait-listed people —", "go."]),
        ("Surely—go on.", ["Surely—", "go on."]),
        ("About 1,000 people, yes.", ["About 1,000 people,", "yes."]),
        ("大家早上好呀，今天很好。", ["大家早上好呀，", "今天很好。"]),
        ("Hello there,", ["Hello there,"]),
    ],
)
def test_the_first_utterance_may_end_at_a_clause(text: str, sentences: list[str]) -> None:
    assert cut(text) == sentences


def test_an_utterance_comes_as_soon_as_its_end_is_certain() -> None:
    cutter = SentenceCutter()
    assert cutter.feed("Hello there,") == []
    assert cutter.feed(" I") == ["Hello there,"]
    assert cutter.feed(" am Dr.") == []
    assert cutter.feed(" Who. ") == ["I am Dr. Who."]


def test_text_without_an_end_is_cut_at_a_space() -> None:
    sentences = cut("word " * 200, first_clause=None)
    assert len(sentences) > 3
    assert all(len(s) <= MAX_CHARS and set(s.split()) == {"word"} for s in sentences)
    assert [len(s) for s in cut("x" * 600, first_clause=None)] == [MAX_CHARS, MAX_CHARS, 120]


def test_too_long_a_text_is_cut_at_a_late_comma_if_it_has_one() -> None:
    text = "word " * 30 + "end, " + "more " * 30
    assert cut(text, first_clause=None)[0].endswith("end,")


TEXTS = st.text(st.sampled_from("aB1 .,!?…—-\n\"')。，etc:Dr😀"), max_size=400)


@given(TEXTS, st.lists(st.integers(1, 40), max_size=40))
def test_cuts_do_not_depend_on_how_the_text_is_split_and_nothing_is_lost(
    text: str, steps: list[int]
) -> None:
    cutter = SentenceCutter()
    sentences: list[str] = []
    at = 0
    for step in [*steps, len(text) + 1]:
        sentences += cutter.feed(text[at : at + step])
        at += step
    sentences += cutter.finish()
    assert sentences == cut(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(s and s == s.strip() for s in sentences)
