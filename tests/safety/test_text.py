import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.safety.text import clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\x00b\x07c\x7fd\x9fe", "abcde"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        ("e\u0301", "é"),
        ("\ud800x", "\ufffdx"),
        ("\ud83d\ude00", "😀"),
        ("\u202eevil", "evil"),
        ("hi \U000e0000", "hi "),
        ("hi \U000e0068\U000e0069", "hi "),
        (
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        ),
        ("👨\u200d👩\u200d👧 שלום", "👨\u200d👩\u200d👧 שלום"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(st.characters(), max_size=40))
def test_clean_text_can_be_stored_and_is_stable(text: str) -> None:
    once = clean(text)
    assert once.encode("utf-8").decode("utf-8") == once
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not [c for c in once if unicodedata.category(c) == "Cc" and c not in "\n\t"]
