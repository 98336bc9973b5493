"""Which messages of the chat are those that were sent."""

from tests.fakes.twitch_time import SteppedTime
from understudy.events import ChatMessage
from understudy.sources.twitch.own_messages import ECHO_SECONDS, MAX_IDS, OwnMessages


def written(text: str, id: str = "m-1", reply_to: str = "", channel: str = "ana") -> ChatMessage:
    return ChatMessage(id=id, channel=channel, ts=1, user="ana", text=text, reply_to=reply_to)


def test_a_message_that_comes_back_before_its_id_is_known() -> None:
    own = OwnMessages(SteppedTime())
    own.sending("ana", "hi there")
    assert own.hands_back(written("hi there"))
    assert not own.hands_back(written("hi there", id="m-2", channel="ben"))
    assert not own.hands_back(written("hi", id="m-3"))
    # EventSub and IRC tell it both, and viewers reply to it.
    assert own.hands_back(written("hi there"))
    assert own.is_answered_by(written("what?", id="m-4", reply_to="m-1"))
    assert not own.is_answered_by(written("what?", id="m-5", reply_to="m-3"))
    assert not own.is_answered_by(written("what?", id="m-6"))


def test_a_message_that_comes_back_under_its_id() -> None:
    own = OwnMessages(SteppedTime())
    own.sending("ana", "hi  there")
    own.shown("sent-1")
    assert own.hands_back(written("hi there, as Twitch shows it", id="sent-1"))


def test_a_reply_comes_back_with_the_name_it_is_for() -> None:
    own = OwnMessages(SteppedTime())
    own.sending("ana", "it is 5")
    assert own.hands_back(written("@Ben it is 5", reply_to="q-1"))
    assert not own.hands_back(written("@Ben it is 5", id="m-2"))


def test_the_same_words_are_somebody_s_own_later_or_when_ours_were_not_shown() -> None:
    time = SteppedTime()
    own = OwnMessages(time)
    own.sending("ana", "hi")
    time.advance(ECHO_SECONDS)
    assert not own.hands_back(written("hi"))
    own.sending("ana", "hi")
    own.not_shown("ana", "hi")
    assert not own.hands_back(written("hi"))


def test_only_the_newest_are_known() -> None:
    time = SteppedTime()
    own = OwnMessages(time)
    for number in range(MAX_IDS + 1):
        own.shown(f"sent-{number}")
    assert not own.is_answered_by(written("what?", reply_to="sent-0"))
    assert own.is_answered_by(written("what?", reply_to="sent-1"))
