"""A row as tokens: exactly what is served, exactly the reply trained."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_model import CHATML, STRICT, byte_fallback_tokenizer, byte_level_tokenizer
from understudy.brains.base import BrainMessage, BrainRequest
from understudy.brains.huggingface.loading import LocalModel
from understudy.brains.huggingface.prompt import build_prompt
from understudy.brains.huggingface.sampling import Sampling
from understudy.learning.training.encoding import Encoder, Unfit
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.rows import Message

pytest.importorskip("peft", reason="the extra understudy[train] is not installed")

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
"""Writes something before the reply only when it is asked for one, as Qwen 3 does."""
TRIMMED = CHATML.replace("{{ m.content }}", "{{ m.content | trim | replace('bad', '') }}")
CHAT = [Message("system", "You are Understudy."), Message("user", "hello there")]


def local(tokenizer: Any, window: int = 512) -> LocalModel:
    return LocalModel(
        model=None,
        tokenizer=tokenizer,
        device="cpu",
        dtype="float32",
        quantization="none",
        window=window,
        end_tokens=frozenset([tokenizer.eos_token_id]),
        defaults=Sampling(),
    )


def served(tokenizer: Any, messages: list[Message]) -> list[int]:
    known = [BrainMessage(m.role, m.content) for m in messages]  # type: ignore[arg-type]
    return build_prompt(tokenizer, BrainRequest(messages=known)).tokens


@pytest.mark.parametrize("make", [byte_level_tokenizer, byte_fallback_tokenizer])
@pytest.mark.parametrize(
    ("template", "before"),
    [
        (CHATML, "assistant\n"),
        (STRICT, "assistant\n"),
        (THINKING, "</think>\n\n"),
        (TRIMMED, "assistant\n"),
        (None, "Assistant:"),
    ],
    ids=["chatml", "strict", "thinking", "trimmed", "none"],
)
def test_the_reply_and_its_end_are_trained_after_what_is_served(
    make: Any, template: str | None, before: str
) -> None:
    tokenizer = make(template)
    example = Encoder(local(tokenizer)).encode(CHAT, " assistant says: go, go! \n")
    prompt, trained = example.tokens[: example.start], example.tokens[example.start :]
    assert prompt == served(tokenizer, CHAT)
    assert tokenizer.decode(prompt).endswith(before)
    assert tokenizer.decode(trained).strip() == "assistant says: go, go!<|im_end|>"
    assert trained.count(tokenizer.eos_token_id) == 1
    assert example.trained == len(trained)


def test_markup_in_a_reply_does_not_end_it() -> None:
    tokenizer = byte_level_tokenizer()
    example = Encoder(local(tokenizer)).encode(CHAT, "one<|im_end|>two")
    assert tokenizer.decode(example.tokens[example.start :]) == "one two<|im_end|>"


@given(
    history=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text()), max_size=4),
    last=st.text(min_size=1).filter(str.strip),
    reply=st.text(min_size=1).filter(str.strip),
    template=st.sampled_from([CHATML, STRICT, None]),
)
@settings(max_examples=60, deadline=None)
def test_any_text_is_written_as_it_is_served(
    history: list[tuple[str, str]], last: str, reply: str, template: str | None
) -> None:
    tokenizer = byte_level_tokenizer(template)
    messages = [*[Message(role, text) for role, text in history], Message("user", last)]
    try:
        example = Encoder(local(tokenizer, window=100_000), 90_000).encode(messages, reply)
    except Unfit:
        # Nothing but markup, or a conversation that the template takes in no form.
        return
    assert example.tokens[: example.start] == served(tokenizer, messages)
    assert example.tokens[-1] == tokenizer.eos_token_id
    assert reply.strip() in tokenizer.decode(example.tokens[example.start :])


def test_a_long_history_loses_its_oldest_messages() -> None:
    tokenizer = byte_level_tokenizer()
    history = [Message("user", f"message {number} " * 6) for number in range(20)]
    messages = [CHAT[0], *history, Message("assistant", "yes"), Message("user", "the last one")]
    example = Encoder(local(tokenizer), 120).encode(messages, "the reply stays")
    text = tokenizer.decode(example.tokens)
    assert example.cut
    assert len(example.tokens) <= 120
    assert "You are Understudy." in text
    assert "message 0 " not in text
    assert "the last one" in text
    assert text.endswith("the reply stays<|im_end|>")


@pytest.mark.parametrize("template", [CHATML, STRICT, None])
def test_a_row_of_a_hundred_thousand_tokens_keeps_its_end_and_its_reply(
    template: str | None,
) -> None:
    tokenizer = byte_level_tokenizer(template)
    prompt = "Zürich 🎉 " * 12_000 + "and now?"
    encoder = Encoder(local(tokenizer))
    assert len(encoder.tokens(prompt)) > 100_000
    example = encoder.encode([CHAT[0], Message("user", prompt)], "the reply")
    text = tokenizer.decode(example.tokens)
    assert 400 < len(example.tokens) <= 512
    assert "and now?" in text
    assert "\ufffd" not in text
    assert text.endswith("the reply<|im_end|>")


def test_a_reply_that_does_not_fit_is_never_cut() -> None:
    encoder = Encoder(local(byte_level_tokenizer()), 64)
    with pytest.raises(Unfit, match="too long"):
        encoder.encode(CHAT, "far too long " * 100)
    with pytest.raises(Unfit, match="changed by the chat template"):
        Encoder(local(byte_level_tokenizer(TRIMMED))).encode(CHAT, "not bad at all")
    refusing = byte_level_tokenizer("{{ raise_exception('no') }}")
    with pytest.raises(Unfit, match="refused by the chat template"):
        Encoder(local(refusing)).encode(CHAT, "hi")


def test_the_length_is_the_models_at_most() -> None:
    tokenizer = byte_level_tokenizer()
    assert Encoder(local(tokenizer)).max_length == 512
    assert Encoder(local(tokenizer, window=131_072)).max_length == 2048
    assert Encoder(local(tokenizer, window=131_072), 4096).max_length == 4096
    endless = local(tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(TrainingError, match="no end token"):
        Encoder(endless)
