"""What a model thinks before it speaks is not spoken, however its tokens are split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.thoughts import ThoughtCutter


def heard(pieces: list[str]) -> str:
    cutter = ThoughtCutter()
    return "".join(map(cutter.feed, pieces)) + cutter.finish()


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Hello there.", "Hello there."),
        ("<think>They greet me.</think>\n\nHello there.", "Hello there."),
        ("\n <think>\nOne < two.\n</think>Hello.", "Hello."),
        ("<think></think>Hello.", "Hello."),
        ("<think>No end", ""),
        ("<think>It said </think>a</think>b", "a</think>b"),
        ("I write <think>this</think>.", "I write <think>this</think>."),
        ("<thin ice>", "<thin ice>"),
        ("<thi", "<thi"),
        ("", ""),
        ("  Hi", "  Hi"),
    ],
)
def test_a_thought_at_the_beginning_is_left_out(text: str, spoken: str) -> None:
    assert heard([text]) == spoken
    assert heard(list(text)) == spoken


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "th", "a ", "\n", "/think>", "b"])))
def test_the_outcome_does_not_depend_on_the_split(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert heard(pieces) == heard([text]) == heard(list(text))


@given(st.text())
def test_other_text_passes_unchanged(text: str) -> None:
    if not text.lstrip().startswith("<think>"):
        assert heard([text]) == text
