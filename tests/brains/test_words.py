import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.scripted.library import load_library

WORDS = load_library().words


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("I painted my bike green", "bike"),
        ("talking about spaceships again", "spaceships"),
        ("the and you", ""),
        ("fuuuck this shiiit", ""),
        ("n1gger", ""),
        ("reggin", ""),
        ("example.com/watches", ""),
        ("@somebody #hashtag !command", ""),
        ("asdfghjkl", ""),
        ("привет мир", ""),
        ("a" * 30, ""),
        ("", ""),
    ],
)
def test_the_topic_is_one_harmless_word(text, topic):
    assert WORDS.topic(text) == topic


@pytest.mark.parametrize("word", ["h1tler", "FUCK", "fück", "ssshit", "a1", "x", "two words"])
def test_offensive_or_odd_words_are_not_harmless(word):
    assert not WORDS.harmless(word)


@given(st.text(max_size=80))
def test_a_topic_is_made_of_letters_that_were_there(text):
    topic = WORDS.topic(text)
    assert topic == "" or (topic.isascii() and topic.isalpha() and len(topic) <= 20)
    assert topic in text.lower()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("pizza or tacos?", ("pizza", "tacos")),
        ("a cat or a dog", ("cat", "dog")),
        ("tea or tea", None),
        ("nazi or tea", None),
        ("nothing to choose", None),
    ],
)
def test_options_are_the_words_beside_or(text, options):
    assert WORDS.options(text) == options


@pytest.mark.parametrize(
    ("viewer", "name"),
    [
        ("Mia_92", "Mia_92"),
        ("@mia", "mia"),
        ("Mia Smith says hi", "Mia"),
        ("アヤ", "アヤ"),
        ("user42", ""),
        ("fuck_you", ""),
        ("example.com", ""),
        ("x" * 26, ""),
        ("  ", ""),
    ],
)
def test_a_viewer_is_addressed_by_a_name_that_can_be_said(viewer, name):
    assert WORDS.address(viewer) == name


def test_clean_text_has_no_blocked_word():
    assert WORDS.clean("Hollow Knight: Silksong")
    assert not WORDS.clean("Hollow fuckers")
