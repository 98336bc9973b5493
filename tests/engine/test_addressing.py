import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.engine import addressing
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


def test_the_account_of_the_cohost_is_the_cohost_as_long_as_it_is_logged_in() -> None:
    accounts = [""]
    reader = AddressReader(["Understudy"], ["marlow"], lambda: accounts[-1])
    mention = message("@Cohost_Bot hi")
    reply = message("and then?", reply_to="m-1", reply_to_user="cohost_bot")
    assert reader.read(mention).to_other
    assert not reader.is_cohost("")
    accounts.append("cohost_bot")
    assert reader.is_cohost("cohost_bot")
    assert reader.read(mention).to_cohost
    assert reader.read(reply).to_cohost
    assert reader.read(message("@bob hi")).to_other
    accounts.append("")
    assert reader.read(reply).to_other


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


def knowing() -> AddressReader:
    """A reader that has met some of the chat."""
    reader = AddressReader(["Understudy", "undy", "co-host"], ["pixelharbor"])
    people = [("marlowplays", "streamer"), ("rustybucket", "viewer"), ("wren_on_wheels", "viewer")]
    for user, role in [*people, ("sam", "viewer"), ("whatever_42", "viewer")]:
        reader.meet(ChatMessage(id="1", channel="c", ts=0, user=user, text="hi", role=role))
    return reader


@pytest.mark.parametrize(
    "text",
    [
        "wren!! <3 how was the physio?",
        "rusty, is that you?",
        "hey sam, did it work?",
        "can we pet it, wren?",
        "marlow do you want some tea?",
        "question for marlow: do you play it on hard?",
        "oh wait, Marlow? your voice is doubled",
    ],
)
def test_calling_somebody_who_talks_here_speaks_to_them(text: str) -> None:
    reading = knowing().read(message(text))
    assert reading.to_other
    assert not reading.to_cohost


@pytest.mark.parametrize(
    "text",
    [
        "is marlow at the boss yet?",
        "what, is that a snail?",
        "gerald, is he ok?",
        "who is rusty?",
        "mail me at sam@example.com?",
        "is it me, or is it late?",
    ],
)
def test_speaking_about_somebody_is_not_speaking_to_them(text: str) -> None:
    assert not knowing().read(message(text)).to_other


@pytest.mark.parametrize(
    ("text", "to_cohost"),
    [
        ("that's the co-host! just say its name", False),
        ("who's the co-host here?", True),
        ("our co-host? undy!", True),
        ("understudy, not the co-host", True),
        ("\u65e5\u672c\u8a9eundy\u3055\u3093", True),
        ("it was undying love", False),
    ],
)
def test_being_spoken_of_is_not_being_spoken_to(text: str, to_cohost: bool) -> None:
    assert knowing().read(message(text)).to_cohost == to_cohost


def test_only_so_many_names_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addressing, "KNOWN_CHATTERS", 2)
    reader = AddressReader([], [""])
    for user in ("anabel", "benjamin", "anabel", "cleopatra"):
        reader.meet(ChatMessage(id="1", channel="c", ts=0, user=user, text="hi"))
    assert reader.read(message("anabel, ready?")).to_other
    assert not reader.read(message("benjamin, ready?")).to_other
    assert not reader.read(message("undy, ready?")).to_cohost, "a co-host without a name"


@pytest.mark.parametrize(
    "text",
    [
        "\u30b2\u30fc\u30e0\u97f3\u697d\u306f\u3042\u308a\u307e\u3059\u304b\uff1f",
        "tea/coffee, anyone?",
        "wow! is it over?",
        "can someone explain the rules",
        "HOW DO I TURN OFF CAPS LOCK",
        "have you seen https://x.example/?a=1 yet",
    ],
)
def test_more_questions(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "right?? the light is unreal",
        "TWO????",
        "sound? picture? dignity?",
        "am I late. I'm late. hei hei",
        "do let us not get our hopes up",
        "would like it noted that I was here",
        "what a night it was for all",
        "when you miss the jump again",
        "which is nice for a change",
        "look at x.example/watch?v=12 now",
    ],
)
def test_what_only_looks_like_a_question(text: str) -> None:
    assert not is_question(text)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    reading = knowing().read(message(text))
    assert not (reading.to_cohost and reading.to_other)
