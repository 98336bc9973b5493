import builtins
from pathlib import Path

import pytest

from tests.fakes.http_server import Request
from tests.fakes.openai_server import Failure, OpenAIServer, Reply
from tests.tiny_model import byte_level_tokenizer
from understudy.brains.openai import OpenAIBrain
from understudy.mood.chat_model import SYSTEM_PROMPT, ChatModelClassifier, read_label
from understudy.mood.classifier import (
    LexiconClassifier,
    MoodClassifier,
    Sentiment,
    from_probabilities,
    parse_label,
)
from understudy.mood.errors import MoodError
from understudy.mood.transformer import BATCH, TransformerClassifier, meanings

WARNINGS = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def build_classifier(folder: Path, names: list[str]) -> Path:
    """Save a Llama with random weights and a head for these labels, and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = byte_level_tokenizer()
    torch.manual_seed(1)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        initializer_range=0.3,
        pad_token_id=tokenizer.eos_token_id,
        id2label=dict(enumerate(names)),
        label2id={name: at for at, name in enumerate(names)},
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_labels_are_read_in_any_case() -> None:
    assert parse_label(" Positive.\n") == "positive"
    assert parse_label("great") is None
    assert from_probabilities(0.2, 0.3, 0.5) == Sentiment("positive", 0.3)


async def test_the_word_lists_are_a_classifier() -> None:
    classifier: MoodClassifier = LexiconClassifier()
    good, bad = await classifier.label(["PogChamp", "so boring"])
    assert (good.label, bad.label) == ("positive", "negative")
    assert good.score > 0 > bad.score
    await classifier.aclose()


@WARNINGS
async def test_a_transformer_labels_in_batches(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra understudy[huggingface] is missing")
    folder = build_classifier(tmp_path / "model", ["negative", "neutral", "positive"])
    classifier: MoodClassifier = TransformerClassifier(str(folder))
    texts = [f"what a jump {number}" for number in range(BATCH + 3)]
    found = await classifier.label(texts)
    assert len(found) == len(texts)
    assert all(-1 <= sentiment.score <= 1 for sentiment in found)
    # Alone or in a batch, a message sounds the same.
    [alone] = await classifier.label(texts[-1:])
    assert alone.score == pytest.approx(found[-1].score, abs=1e-5)
    assert await classifier.label([]) == []
    await classifier.aclose()


@WARNINGS
async def test_the_names_of_a_models_labels_count_and_not_their_order(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra understudy[huggingface] is missing")
    one = TransformerClassifier(str(build_classifier(tmp_path / "one", ["NEG", "POS"])))
    two = TransformerClassifier(str(build_classifier(tmp_path / "two", ["positive", "negative"])))
    [first], [second] = await one.label(["hello"]), await two.label(["hello"])
    assert first.score == pytest.approx(-second.score)
    assert abs(first.score) > 0
    for classifier in (one, two):
        await classifier.aclose()


@WARNINGS
async def test_a_model_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra understudy[huggingface] is missing")
    toxic = TransformerClassifier(str(build_classifier(tmp_path / "toxic", ["toxic", "clean"])))
    with pytest.raises(MoodError, match=r"labels \(toxic, clean\) are no moods"):
        await toxic.label(["hello"])
    nowhere = TransformerClassifier(str(tmp_path / "nowhere"))
    with pytest.raises(MoodError, match="cannot be loaded"):
        await nowhere.label(["hello"])
    for classifier in (toxic, nowhere):
        await classifier.aclose()


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    classifier = TransformerClassifier("some/model")
    with pytest.raises(MoodError, match=r"understudy\[huggingface\]"):
        await classifier.label(["hello"])
    await classifier.aclose()


def test_numbered_labels_go_from_negative_to_positive() -> None:
    assert meanings({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}) == {
        "negative": 0,
        "neutral": 1,
        "positive": 2,
    }


def answers(request: Request) -> Reply:
    """A fine-tuned model: knows its labels, and one message it cannot read."""
    text = request.json["messages"][-1]["content"]
    known = {"gg": "positive", "boo": " Negative.", "so so": "It is neutral", "??": "purple"}
    return Reply([known[text]])


async def test_a_chat_model_is_asked_about_each_message() -> None:
    async with OpenAIServer(answers) as server:
        brain = OpenAIBrain.compatible(server.url, "ft:mood")
        classifier = ChatModelClassifier(brain, "ft:mood")
        found = await classifier.label(["gg", "boo", "so so", "??"])
        assert [s.label for s in found] == ["positive", "negative", "neutral", "neutral"]
        assert [s.score for s in found] == [1.0, -1.0, 0.0, 0.0]
        assert classifier.unread == 1
        asked = server.chats[0]
        assert asked["model"] == "ft:mood"
        assert asked["messages"][0] == {"role": "system", "content": SYSTEM_PROMPT}
        assert {chat["messages"][-1]["content"] for chat in server.chats} == {
            "gg",
            "boo",
            "so so",
            "??",
        }
        await classifier.aclose()


async def test_a_chat_model_that_fails_is_one_sentence() -> None:
    async with OpenAIServer(Failure(401)) as server:
        brain = OpenAIBrain.compatible(server.url, "m", api_key="wrong")
        with pytest.raises(MoodError, match="m did not label the message: "):
            await ChatModelClassifier(brain, "m").label(["gg", "boo"])
        await brain.aclose()


def test_an_answer_that_names_two_labels_is_none() -> None:
    assert read_label("neither positive nor negative") is None
    assert read_label("clearly positive") == "positive"
