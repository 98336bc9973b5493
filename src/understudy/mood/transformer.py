"""A text-classification model of the transformers library as a mood classifier.

Owns loading it, the thread that runs it, and what its labels mean. Does not own models that write
text (`chat_model`). No code of a model's repository is ever executed.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from understudy.events import MoodLabel
from understudy.mood.classifier import Sentiment, from_probabilities
from understudy.mood.errors import MoodError
from understudy.mood.lexicon import MAX_CHARS, label_of

BATCH = 32
MAX_TOKENS = 256
_SHORT: dict[str, MoodLabel] = {"neg": "negative", "neu": "neutral", "pos": "positive"}
_NUMBERED: dict[str, MoodLabel] = {
    "label_0": "negative",
    "label_1": "neutral",
    "label_2": "positive",
}

_log = logging.getLogger(__name__)


class _Loaded(msgspec.Struct, frozen=True):
    model: Any
    tokenizer: Any
    torch: Any
    columns: dict[MoodLabel, int]
    """Which of the model's outputs stands for which label; a model may know no neutral."""


class TransformerClassifier:
    """A model given by folder or by id; it is loaded when it is first asked."""

    def __init__(self, model: str, *, token: str = "", device: str = "cpu") -> None:
        """`token` is the model hub's, `device` as torch names it."""
        self.name = f"transformer {model}"
        self._source = model
        self._token = token
        self._device = device
        self._loaded: _Loaded | None = None
        # One thread: neither a model nor a tokenizer is made for two at once.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mood-model")

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each text, in their order; raises `MoodError`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._label, list(texts))

    async def aclose(self) -> None:
        """Drop the model; what is being judged is waited for."""
        await asyncio.to_thread(self._thread.shutdown)
        self._loaded = None

    def _label(self, texts: list[str]) -> list[Sentiment]:
        if self._loaded is None:
            self._loaded = _load(self._source, self._token, self._device)
        loaded = self._loaded
        found: list[Sentiment] = []
        for start in range(0, len(texts), BATCH):
            batch = [text[:MAX_CHARS] for text in texts[start : start + BATCH]]
            encoded = loaded.tokenizer(
                batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            ).to(self._device)
            with loaded.torch.inference_mode():
                logits = loaded.model(**encoded).logits
            rows = loaded.torch.softmax(logits.float(), dim=-1).tolist()
            found += [_sentiment(row, loaded.columns) for row in rows]
        return found


def meanings(names: Mapping[int, str]) -> dict[MoodLabel, int]:
    """Which output stands for which label, from the model's own names; raises `MoodError`."""
    lower = {at: name.strip().casefold() for at, name in names.items()}
    if sorted(lower.values()) == sorted(_NUMBERED):
        # Models without names are numbered from negative to positive.
        return {_NUMBERED[name]: at for at, name in lower.items()}
    found: dict[MoodLabel, int] = {}
    for at, name in lower.items():
        if (label := _SHORT.get(name[:3])) is not None:
            found[label] = at
    if not {"negative", "positive"} <= found.keys():
        shown = ", ".join(list(names.values())[:8])
        raise MoodError(
            f"the model's labels ({shown}) are no moods: choose one that tells negative from"
            " positive"
        )
    return found


def _sentiment(row: Sequence[float], columns: Mapping[MoodLabel, int]) -> Sentiment:
    negative, positive = row[columns["negative"]], row[columns["positive"]]
    if "neutral" in columns:
        return from_probabilities(negative, row[columns["neutral"]], positive)
    score = positive - negative
    return Sentiment(label_of(score), score)


def _load(source: str, token: str, device: str) -> _Loaded:
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError:
        raise MoodError(
            "a mood model of transformers needs its library: pip install 'understudy[huggingface]'"
        ) from None
    common: dict[str, Any] = {"token": token or None, "trust_remote_code": False}
    tokenizers: Any = AutoTokenizer
    models: Any = AutoModelForSequenceClassification
    try:
        tokenizer = tokenizers.from_pretrained(source, **common)
        model = models.from_pretrained(source, **common).to(device)
    except Exception as error:
        # The library raises many kinds; people get one sentence and the log has the rest.
        _log.warning("the mood model %s: %s: %s", source, type(error).__name__, error)
        raise MoodError(
            f"the mood model {source} cannot be loaded: check the folder or id, details are in the"
            " log"
        ) from error
    model.eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
    return _Loaded(model, tokenizer, torch, meanings(dict(model.config.id2label)))
