import pytest

from understudy.engine.addressing import AddressReader, is_question
from understudy.events import ChatMessage

READER = AddressReader(["Understudy", "undy", "co-host"], ["marlow"])


def message(text: str, **fields: str) -> ChatMessage:
    return ChatMessage(id="1", channel="c", ts=0, user="ana", text=text, **fields)


@pytest.mark.parametrize(
    "text",
    ["@Understudy hi", "hey UNDY", "what do you think, undy?", "co-host!", "undy: hello"],
)
def test_speaks_to_the_cohost(text: str) -> None:
    reading = READER.read(message(text))
    assert reading.to_cohost
    assert not reading.to_other


@pytest.mark.parametrize("text", ["@bob are you there?", "marlow, turn left", "@marlow nice"])
def test_speaks_to_somebody_else(text: str) -> None:
    reading = READER.read(message(text))
    assert reading.to_other
    assert not reading.to_cohost


@pytest.mark.parametrize("text", ["laundry day", "undying love", "the foundyou thing"])
def test_a_name_inside_a_word_is_no_mention(text: str) -> None:
    assert not READER.read(message(text)).to_cohost


def test_the_cohost_wins_over_another_mention() -> None:
    reading = READER.read(message("@bob ask @undy about it"))
    assert reading.to_cohost
    assert not reading.to_other


def test_a_reply_speaks_to_the_author_it_replies_to() -> None:
    to_us = READER.read(message("really", reply_to="m9", reply_to_user="understudy"))
    to_bob = READER.read(message("really", reply_to="m9", reply_to_user="bob"))
    assert to_us.to_cohost
    assert to_bob.to_other


@pytest.mark.parametrize(
    "text",
    [
        "why?",
        "is this the final boss",
        "so what is that thing",
        "anyone know the song?",
        "¿por qué?",
    ],
)
def test_questions(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize(
    "text", ["what a day", "???", "nice", "see https://x.example/watch?v=1/2", "is it"]
)
def test_no_questions(text: str) -> None:
    assert not is_question(text)
