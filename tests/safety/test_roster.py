import pytest

from understudy.safety.pii import Redactor
from understudy.safety.roster import Roster

ROSTER = [
    ("bob_smith", "Bob_Smith"),
    ("kim99", "김철수"),
    ("tanaka", "田中"),
    ("the", "The"),
    ("game", "GaMe"),
    ("dude", "Dr. Dude-42"),
    ("ivan_k", "Иван"),
    ("q", "Q"),
    ("12345", ""),
]


def redact(text: str) -> str:
    return Redactor(ROSTER).redact(text).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bob_smith hi", "viewer_1 hi"),
        ("BOB_SMITH's cat", "viewer_1's cat"),
        ("@Bob_Smith, look", "@viewer_1, look"),
        ("_bob_smith_ in italics", "_viewer_1_ in italics"),
        ("(bob_smith)", "(viewer_1)"),
        ("bob_smithy and xbob_smith", "bob_smithy and xbob_smith"),
        ("bob smith", "bob smith"),
        ("김철수님 안녕", "viewer_1님 안녕"),
        ("田中さん、こんにちは", "viewer_1さん、こんにちは"),
        ("привет ИВАН!", "привет viewer_1!"),
        ("thanks Dr. Dude-42!", "thanks viewer_1!"),
        ("thanks Dr. Dude-421", "thanks Dr. viewer_1-421"),
        ("dr. who", "dr. who"),
        ("dude", "viewer_1"),
        ("___", "___"),
    ],
)
def test_names_are_found_as_words(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the game is on", "the game is on"),
        ("The GAME and the Game", "The GAME and the Game"),
        ("@the and @game", "@viewer_1 and @viewer_2"),
        ("GaMe is here", "viewer_1 is here"),
        ("press q for 12345 points", "press q for 12345 points"),
        ("@q has @12345", "@viewer_1 has @viewer_2"),
    ],
)
def test_everyday_words_are_names_only_when_they_cannot_be_words(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_login_and_display_name_share_a_pseudonym_in_order_of_appearance() -> None:
    redactor = Redactor(ROSTER)
    assert redactor.redact("田中 and kim99").text == "viewer_1 and viewer_2"
    assert redactor.redact("김철수 and tanaka").text == "viewer_2 and viewer_1"
    assert redactor.roster.pseudonym("Bob_Smith") == "viewer_3"
    assert redactor.roster.pseudonym("dr. dude-42") == redactor.redact("dude").text


def test_a_pseudonym_is_never_somebodys_login() -> None:
    redactor = Redactor([("viewer_1", ""), ("viewer_2", ""), ("bob_smith", "")])
    assert redactor.redact("bob_smith").text == "viewer_3"
    assert redactor.redact("viewer_1 viewer_9").text == "viewer_4 viewer_9"


def test_kept_names_stay() -> None:
    redactor = Redactor([("undy_bot", "Undy"), ("bob_smith", "")], keep=["Undy", "undy_bot"])
    assert redactor.redact("Undy and undy_bot meet bob_smith").text == (
        "Undy and undy_bot meet viewer_1"
    )
    assert redactor.roster.pseudonym("Undy") == "Undy"


def test_the_streamer_keeps_the_part_but_not_the_name() -> None:
    redactor = Redactor([("alice_live", "Alice"), ("bob_smith", "")])
    text = "alice beats bob_smith, says @alice_live"
    assert redactor.redact(text, streamer="#Alice_Live").text == (
        "[streamer] beats viewer_1, says @[streamer]"
    )
    assert redactor.redact(text).text == "viewer_2 beats viewer_1, says @viewer_2"


def test_meeting_somebody_known_changes_nothing() -> None:
    roster = Roster(ROSTER)
    known = len(roster)
    roster.meet("김철수")
    roster.meet("@bob_smith")
    roster.meet("")
    roster.meet("★")
    assert roster.pseudonym("김철수") == roster.pseudonym("kim99")
    roster.meet("newcomer")
    assert len(roster) == known + 2  # the star is a login without a word to find it by
    assert [hit.pseudonym for hit in roster.find("newcomer!")] == ["viewer_2"]


def test_a_hundred_thousand_names() -> None:
    redactor = Redactor((f"user_{number}", f"User_{number}") for number in range(100_000))
    assert redactor.redact("User_99999 beats user_5").text == "viewer_1 beats viewer_2"


def test_an_empty_roster_finds_nothing() -> None:
    assert not Roster().may_find("anything _ at all")
    assert Roster().find("bob") == []
