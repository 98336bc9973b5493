from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_model import byte_fallback_tokenizer, byte_level_tokenizer
from understudy.brains.huggingface.detokenizer import HALF, Detokenizer, StopCutter

pytest.importorskip("transformers", reason="understudy[huggingface] is missing")

TOKENIZERS = {"byte-level": byte_level_tokenizer(), "byte-fallback": byte_fallback_tokenizer()}
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=HALF), max_size=40)


def detokenizer(name: str) -> Detokenizer:
    return Detokenizer(partial(TOKENIZERS[name].decode, skip_special_tokens=True))


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=WORDS | st.sampled_from(["go go  go!", "Grüße 🎉🎮❤️", " a", "你好 世界 ", "\n\n x"]))
def test_the_pieces_of_a_text_are_the_text_and_hold_no_half_character(name: str, text: str):
    tokens = TOKENIZERS[name].encode(text, add_special_tokens=False)
    whole = TOKENIZERS[name].decode(tokens, skip_special_tokens=True)
    made = detokenizer(name)
    pieces = [*(made.push(token) for token in tokens), made.flush()]
    assert "".join(pieces) == whole
    assert HALF not in "".join(pieces)


@given(tokens=st.lists(st.integers(5, 260), max_size=30))
def test_pieces_of_any_tokens_are_what_decoding_them_at_once_gives(tokens: list[int]):
    made = detokenizer("byte-level")
    pieces = [*(made.push(token) for token in tokens), made.flush()]
    whole = TOKENIZERS["byte-level"].decode(tokens, skip_special_tokens=True)
    assert "".join(pieces) == whole.rstrip(HALF)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_reply_cut_within_a_character_ends_before_it(name: str):
    tokens = TOKENIZERS[name].encode("ok 🎮", add_special_tokens=False)
    made = detokenizer(name)
    pieces = [*(made.push(token) for token in tokens[:-1]), made.flush()]
    assert "".join(pieces) == "ok "


def test_special_tokens_make_no_text():
    made = detokenizer("byte-level")
    tokenizer = TOKENIZERS["byte-level"]
    tokens = [*tokenizer.encode("Hello"), tokenizer.eos_token_id, *tokenizer.encode(" you")]
    assert "".join([*(made.push(token) for token in tokens), made.flush()]) == "Hello you"


@given(
    text=st.text("abc", max_size=20),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    data=st.data(),
)
def test_a_stop_string_cuts_at_the_same_place_however_the_text_comes(
    text: str, stops: list[str], data: st.DataObject
):
    met = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    expected = text[: min(met)[1]] if met else text
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    cutter = StopCutter(stops)
    said = "".join([*(cutter.push(piece) for piece in pieces), cutter.flush()])
    assert said == expected
    assert cutter.stopped == bool(met)


def test_text_that_cannot_become_a_stop_string_is_not_held_back():
    cutter = StopCutter(["END"])
    assert [cutter.push(piece) for piece in ("go E", "N", "jo", "y")] == ["go ", "", "ENjo", "y"]
