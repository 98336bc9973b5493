import random

from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.datasets.duplicates import (
    ALIKE,
    PLACES,
    DuplicateIndex,
    founder_of,
    group_name,
    likeness,
    signature,
)

TEXTS = st.text(max_size=80)
SIGNATURES = st.binary(min_size=PLACES, max_size=PLACES)


def words(rng: random.Random, count: int) -> list[str]:
    return [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 8)))
        for _ in range(count)
    ]


@given(TEXTS, TEXTS)
def test_any_text_has_a_signature_and_finds_itself(prompt: str, response: str) -> None:
    own = signature(prompt, response)
    index = DuplicateIndex()
    index.add(own)
    assert len(own) == PLACES
    assert index.find(signature(prompt, response)) == own
    assert founder_of(group_name(own)) == own


@given(SIGNATURES, st.lists(SIGNATURES, max_size=20))
def test_what_is_found_is_alike_and_the_most_alike_of_those_looked_at(
    text: bytes, founders: list[bytes]
) -> None:
    index = DuplicateIndex()
    for founder in founders:
        index.add(founder)
    assert len(index) == len(set(founders))
    found = index.find(text)
    assert found is None or (found in founders and likeness(text, found) >= ALIKE)


@given(st.text(st.sampled_from("abc XYZ!?.,"), min_size=1, max_size=60))
def test_case_and_punctuation_make_no_difference(text: str) -> None:
    plain = "".join(char for char in text if char not in "!?.,")
    assert signature(text.upper(), "yes") == signature(text.lower(), "YES!")
    assert signature(f"hello {plain}", "yes") == signature(f"hello {plain} !?", "yes")


def test_numbers_and_names_behind_an_at_make_no_difference() -> None:
    assert signature("@bob what is 12", "It is 12, @bob!") == signature(
        "@kim what is 9", "It is 33, @kim!"
    )


def test_a_changed_word_is_a_duplicate_and_another_text_is_none() -> None:
    rng = random.Random(1)
    found = confused = 0
    strangers = DuplicateIndex()
    for _ in range(200):
        prompt, reply = words(rng, 8), words(rng, 24)
        index = DuplicateIndex()
        index.add(signature(" ".join(prompt), " ".join(reply)))
        changed = list(reply)
        changed[rng.randrange(24)] = "otherwise"
        found += index.find(signature(" ".join(prompt), " ".join(changed))) is not None
        stranger = signature(" ".join(words(rng, 8)), " ".join(words(rng, 24)))
        confused += strangers.find(stranger) is not None
        strangers.add(stranger)
    assert found >= 195
    assert confused == 0


def test_short_and_strange_texts() -> None:
    assert signature("hi", "lol") != signature("hi", "gg")
    assert signature("", "😂😂") != signature("", "❤❤")
    long = "word " * 100_000
    assert signature(long, "a") == signature(long, "b")


def test_a_name_that_is_none_has_no_founder() -> None:
    for name in ("", "short", "ä" * 43, "a" * 44):
        assert founder_of(name) is None
