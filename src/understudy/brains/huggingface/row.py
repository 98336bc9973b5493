"""A reply while it is being written: its tokens, its text, and when it ends.

Owns one row's state on the model's thread. Does not run the model (`decoder`).
"""

from typing import Any

from understudy.brains.base import BrainError, BrainEvent, Text
from understudy.brains.huggingface.detokenizer import Detokenizer, StopCutter
from understudy.brains.huggingface.loading import LocalModel
from understudy.brains.huggingface.prompt import build_prompt
from understudy.brains.huggingface.reply import Reply, ending
from understudy.brains.huggingface.sampling import NOT_A_TOKEN


class Row:
    """One reply on the model's thread. Raises `BrainError` for a prompt that does not fit."""

    def __init__(self, reply: Reply, local: LocalModel, cache: Any, generator: Any) -> None:
        request = reply.request
        prompt = build_prompt(local.tokenizer, request)
        if len(prompt.tokens) >= local.window:
            raise BrainError(
                f"the conversation has {len(prompt.tokens)} tokens and the model reads less than "
                f"{local.window}: shorten it or lower brain.context_tokens",
                kind="context_too_long",
            )
        self.reply = reply
        self.cache = cache
        self.generator = generator
        self.sampling = local.defaults.for_request(request)
        self.unread = prompt.tokens
        self.reading = True
        self.last_token = NOT_A_TOKEN
        self.done = False
        self._end_tokens = local.end_tokens
        self._prompt_tokens = len(prompt.tokens)
        self._written = 0
        self._limit = min(request.max_tokens, local.window - len(prompt.tokens))
        self._text = Detokenizer(_decoding(local.tokenizer))
        self._cutter = StopCutter([*request.stop, *prompt.stops])

    @property
    def version(self) -> str:
        """The version that writes this reply from its first to its last token."""
        return self.reply.version

    def take(self, size: int | None) -> list[int]:
        """The next `size` tokens of the prompt (all when None), which now count as read."""
        size = len(self.unread) if size is None else size
        block, self.unread = self.unread[:size], self.unread[size:]
        self.reading = bool(self.unread)
        return block

    def push(self, token: int) -> list[BrainEvent]:
        """What a new token gives to say; sets `done` when it was the last."""
        if token == NOT_A_TOKEN:
            raise BrainError(
                "the model computed no numbers: load it in another format or without the adapter",
                kind="failed",
            )
        if token in self._end_tokens:
            return self._end("stop", self._cutter.push(self._text.flush()))
        self._written += 1
        self.last_token = token
        text = self._cutter.push(self._text.push(token))
        if self._cutter.stopped:
            return self._end("stop", text)
        if self._written >= self._limit:
            text += self._cutter.push(self._text.flush())
            return self._end("stop" if self._cutter.stopped else "length", text)
        return [Text(text)] if text else []

    def _end(self, reason: str, text: str) -> list[BrainEvent]:
        self.done = True
        text += self._cutter.flush()
        said: list[BrainEvent] = [Text(text)] if text else []
        return [*said, *ending(reason, self._prompt_tokens, self._written)]


def _decoding(tokenizer: Any) -> Any:
    def decode(tokens: list[int]) -> str:
        return tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )

    return decode
