"""A row as tokens, written as the model reads it when it is served.

Owns where the reply begins and ends in the tokens, and cutting a history that is too long. Does not
own the chat template's forms (`brains.huggingface.prompt`), of which it uses the same, so that a
model is trained on exactly what it will be given.
"""

import re
from typing import Literal, cast

import msgspec

from understudy.brains.base import BrainMessage, BrainRequest
from understudy.brains.huggingface.loading import LocalModel
from understudy.brains.huggingface.prompt import (
    FALLBACK_TEMPLATE,
    Messages,
    fold_system,
    from_first_user,
    merge,
    special_tokens,
    to_messages,
)
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.rows import Message

LONGEST = 2048
"""Tokens of a row unless the settings say otherwise; chat is far shorter."""
_CUTS = 64
"""Most attempts to make a history fit: every one takes something away."""


class Example(msgspec.Struct, frozen=True):
    """The tokens of a row; those from `start` on are trained: the reply and its end token."""

    tokens: list[int]
    start: int
    weight: float = 1.0
    cut: bool = False
    """Whether the history was shortened."""

    @property
    def trained(self) -> int:
        """How many tokens the loss is over."""
        return len(self.tokens) - self.start


class Written(msgspec.Struct, frozen=True):
    """A row as text: what the model reads, and what it is to say after it."""

    prompt: str
    completions: tuple[str, ...]
    cut: bool = False


class Unfit(Exception):
    """This row cannot be written for this model; the message is why, in a few words."""


class Encoder:
    """Encodes rows for one model, at most `max_length` tokens each (0: `LONGEST`)."""

    def __init__(self, local: LocalModel, max_length: int = 0) -> None:
        self._tokenizer = local.tokenizer
        self._markup = special_tokens(local.tokenizer)
        self._ends = _end_texts(local)
        self.max_length = min(max_length or LONGEST, local.window)

    def encode(self, given: list[Message], reply: str, weight: float = 1.0) -> Example:
        """The tokens of `reply` to `given`; raises `Unfit`."""
        written = self.write(given, reply)
        prompt = self.tokens(written.prompt)
        tokens = self.tokens(written.prompt + written.completions[0])
        if tokens[: len(prompt)] != prompt:
            # A token reaches over the seam: the prompt as it is read when served comes first.
            tokens = prompt + self.tokens(written.completions[0])
        return Example(tokens, len(prompt), weight, written.cut)

    def write(self, given: list[Message], *replies: str) -> Written:
        """`given` and each of `replies` as text; raises `Unfit`.

        The oldest messages are left out when the longest reply does not fit otherwise, and the
        beginning of the last one when that is not enough. Never a part of a reply.
        """
        messages = self._clean(given)
        form, prompt = self._read(messages)
        completions = tuple(self._completion(form, prompt, reply) for reply in replies)
        room = self.max_length - max(len(self.tokens(text)) for text in completions)
        cut = False
        for _ in range(_CUTS):
            excess = len(self.tokens(prompt)) - room
            if excess <= 0:
                return Written(prompt, completions, cut)
            messages = self._shorten(messages, excess)
            cut = True
            _, prompt = self._read(messages)
        raise Unfit("too long")

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text that holds its special tokens already."""
        return self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _clean(self, given: list[Message]) -> Messages:
        known = [BrainMessage(_role(message), message.content) for message in given]
        return merge(to_messages(BrainRequest(messages=known), self._markup))

    def _read(self, messages: Messages) -> tuple[Messages, str]:
        """The first form of `messages` that the template takes, and its text."""
        for form in (messages, fold_system(messages), from_first_user(fold_system(messages))):
            text = self._render(form, generate=True)
            if text is not None:
                return form, text
        raise Unfit("refused by the chat template")

    def _render(self, messages: Messages, *, generate: bool) -> str | None:
        own = self._tokenizer.chat_template is not None
        try:
            return cast(
                str,
                self._tokenizer.apply_chat_template(
                    messages,
                    chat_template=None if own else FALLBACK_TEMPLATE,
                    add_generation_prompt=generate,
                    tokenize=False,
                ),
            )
        except Exception:
            # A template refuses by raising whatever its author chose; the next form may pass.
            return None

    def _completion(self, form: Messages, prompt: str, reply: str) -> str:
        """What follows `prompt` when `reply` is said: the reply and what ends it, no more."""
        said = self._markup.sub(" ", reply).strip()
        whole = self._render([*form, {"role": "assistant", "content": said}], generate=False)
        if whole is None:
            raise Unfit("refused by the chat template")
        # Some templates write the prompt in another way once the reply is known.
        begin = len(prompt)
        if not whole.startswith(prompt):
            begin = _common(prompt, whole)
        found = whole.find(said, begin if begin == len(prompt) else max(begin - len(said), 0))
        if found < 0 or not said:
            raise Unfit("changed by the chat template")
        rest, spoken = whole[min(begin, found) :], max(found - begin, 0) + len(said)
        end = self._ends.search(rest, spoken)
        return rest[: end.end()] if end else rest[:spoken] + self._tokenizer.eos_token

    def _shorten(self, messages: Messages, excess: int) -> Messages:
        """`messages` without about `excess` tokens of the oldest; raises `Unfit`."""
        kept = [dict(message) for message in messages]
        turns = [message for message in kept if message["role"] != "system"]
        for message in turns[:-1]:
            kept.remove(message)
            excess -= len(self.tokens(message["content"]))
            if excess <= 0:
                return kept
        if len(turns) > 1:
            return kept
        last = self.tokens(turns[-1]["content"]) if turns else []
        if len(last) > excess:
            shorter = self._tokenizer.decode(last[excess:]).lstrip("\ufffd")
            # Bytes of half a character may take as many tokens as the whole one did.
            turns[-1]["content"] = min(shorter, turns[-1]["content"][1:], key=len)
            return kept
        if turns and len(kept) > 1:
            return turns
        raise Unfit("too long")


def _role(message: Message) -> Literal["system", "user", "assistant"]:
    if message.role == "system":
        return "system"
    return "assistant" if message.role == "assistant" else "user"


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _end_texts(local: LocalModel) -> re.Pattern[str]:
    """Finds the texts of the tokens that end a reply; raises `TrainingError` without any."""
    tokens = [local.tokenizer.convert_ids_to_tokens(number) for number in local.end_tokens]
    names = [re.escape(token) for token in tokens if token]
    if not names or not local.tokenizer.eos_token:
        raise TrainingError(
            "the model has no end token, so it could not learn where replies end: use another model"
        )
    return re.compile("|".join(names))
