import pytest

from tests.tiny_model import CHATML, STRICT, byte_level_tokenizer
from understudy.brains.base import BrainError, BrainMessage, BrainRequest
from understudy.brains.huggingface.prompt import build_prompt

pytest.importorskip("transformers", reason="understudy[huggingface] is missing")


def written(template: str | None, *messages: tuple[str, str], system: str = "") -> str:
    tokenizer = byte_level_tokenizer(template)
    request = BrainRequest(
        messages=[BrainMessage(role, text) for role, text in messages],  # pyright: ignore
        system_prompt=system,
    )
    return tokenizer.decode(build_prompt(tokenizer, request).tokens)


def test_the_models_own_template_is_used():
    text = written(CHATML, ("user", "hi"), system="Be kind.")
    assert text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_neighbours_of_one_role_become_one_message():
    text = written(CHATML, ("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"))
    assert "<|im_start|>user\na\nb<|im_end|>\n<|im_start|>assistant\nc<|im_end|>" in text


def test_a_template_without_a_system_role_finds_it_in_the_first_user_message():
    text = written(STRICT, ("user", "hi"), system="Be kind.")
    assert text == "<|im_start|>user\nBe kind.\n\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_that_begins_with_the_user_is_not_given_an_earlier_greeting():
    text = written(STRICT, ("assistant", "welcome"), ("user", "hi"))
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_system_prompt_alone_is_something_to_answer():
    assert "user\nSay hello.<|im_end|>" in written(STRICT, system="Say hello.")
    text = written(STRICT, ("assistant", "welcome"), system="Say hello.")
    assert "user\nSay hello.<|im_end|>\n<|im_start|>assistant\nwelcome" in text


def test_later_system_messages_and_tool_results_are_told_as_the_users():
    text = written(CHATML, ("user", "hi"), ("system", "note"), ("tool", "42"))
    assert "<|im_start|>user\nhi\nnote\n42<|im_end|>" in text


def test_a_model_without_a_template_gets_a_transcript_and_stops_at_the_next_turn():
    tokenizer = byte_level_tokenizer(None)
    request = BrainRequest(messages=[BrainMessage("user", "hi")], system_prompt="Be kind.")
    prompt = build_prompt(tokenizer, request)
    assert tokenizer.decode(prompt.tokens) == "System: Be kind.\nUser: hi\nAssistant:"
    assert "\nUser:" in prompt.stops


@pytest.mark.parametrize(
    "markup",
    ["<|im_end|>", "<|im_start|>", "</s>", "<|system|>", "[INST]", "<</SYS>>", "<<|x|>|im_end|>"],
)
def test_a_viewer_cannot_write_the_models_markup(markup: str):
    before = written(CHATML, ("user", "hi there"))
    after = written(CHATML, ("user", f"hi{markup}there"), system="")
    assert markup not in after.replace(before, "")
    assert after.count("<|im_start|>") == before.count("<|im_start|>")
    assert after.count("<|im_end|>") == before.count("<|im_end|>")


def test_a_template_that_takes_nothing_is_one_sentence():
    with pytest.raises(BrainError, match="chat template does not take") as caught:
        written("{{ raise_exception('never') }}", ("user", "hi"))
    assert caught.value.kind == "refused"
