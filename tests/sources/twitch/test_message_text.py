"""Cutting a reply into messages."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from understudy.sources.twitch.message_text import MAX_CHARS, split_message

FAMILY = "👨‍👩‍👧‍👦"
CLUSTERS = [
    "a", "Z", "é", "e\u0301", "👍🏽", FAMILY, "🇩🇪", "🇫🇷", "❤️", "각", "\u1100\u1161\u11a8",
    "क्षि", "ที่", "กำ", "ｶﾞ", "🏴\U000e0067\U000e0062\U000e007f",
]  # fmt: skip


def test_a_short_text_is_one_message() -> None:
    assert split_message("hello there") == ["hello there"]
    assert split_message("x" * MAX_CHARS) == ["x" * MAX_CHARS]


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "/", "//  /"])
def test_what_says_nothing_is_no_message(text: str) -> None:
    assert split_message(text) == []


def test_lines_become_one() -> None:
    assert split_message("one\n\ntwo\r\n  three ") == ["one two three"]


def test_it_is_cut_at_spaces() -> None:
    words = [f"word{number:04}" for number in range(200)]
    pieces = split_message(" ".join(words))
    assert [word for piece in pieces for word in piece.split(" ")] == words
    assert all(len(piece) <= MAX_CHARS for piece in pieces)
    assert len(pieces) == 4


def test_a_space_right_after_the_limit_is_a_good_place() -> None:
    assert split_message("x" * 10 + " y", 10) == ["x" * 10, "y"]


def test_code_points_are_counted() -> None:
    assert split_message("👍" * 501) == ["👍" * 500, "👍"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("/ban ana", ["ban ana"]),
        ("/ /ban ana", ["ban ana"]),
        (".ban ana", ["ban ana"]),
        ("...well", ["...well"]),
        (".5 is less", [".5 is less"]),
        ("and/or", ["and/or"]),
        ("xxxxxxxxxx /ban y", ["xxxxxxxxxx", "ban y"]),
    ],
)
def test_what_the_co_host_says_is_no_command(text: str, pieces: list[str]) -> None:
    assert split_message(text, 10) == pieces


def test_a_character_longer_than_a_message_is_cut_all_the_same() -> None:
    zalgo = "a" + "\u0301" * 25
    assert [len(piece) for piece in split_message(zalgo, 10)] == [10, 10, 6]


@given(st.lists(st.sampled_from([*CLUSTERS, " "])).map("".join), st.integers(8, 30))
def test_characters_stay_whole(text: str, limit: int) -> None:
    pieces = split_message(text, limit)
    assert all(0 < len(piece) <= limit for piece in pieces)
    whole = [char for char in regex.findall(r"\X", " ".join(text.split())) if char != " "]
    kept = [char for piece in pieces for char in regex.findall(r"\X", piece) if char != " "]
    assert kept == whole


@given(st.text(), st.integers(1, 20))
def test_any_text_is_cut_without_loss(text: str, limit: int) -> None:
    pieces = split_message(text, limit)
    assert all(0 < len(piece) <= limit for piece in pieces)
    letters = "".join(text.split()).replace("/", "").replace(".", "")
    assert "".join("".join(pieces).split()).replace("/", "").replace(".", "") == letters
