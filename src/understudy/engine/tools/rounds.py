"""One reply of a brain that may ask for tools: ask, carry out, tell, ask again.

Owns the loop, its end, and the sum of what it cost. Does not own which calls are carried out
(`toolbox`).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import msgspec

from understudy.brains.base import (
    BrainError,
    BrainEvent,
    BrainMessage,
    BrainRequest,
    Finish,
    Text,
    ToolCall,
    Usage,
)
from understudy.brains.router import Answer, Router

MAX_CALLS = 8
"""Calls carried out of those that a model asks for at once."""
LAST_ROUND = "No further tool can be called for this reply: answer now with what you have."
OUT_OF_ROUNDS = "I could not find that out."
"""Said when a model asked for nothing but tools until the end."""

Execute = Callable[[ToolCall, bool], Awaitable[str]]
"""Carries out a call, or refuses it, and returns what the model is told; never raises for a call
that fails. The flag says that the call is one too many."""


class Rounds:
    """The rounds of one reply, told as the one `answer`.

    What the model is told is the `request`, grown by its calls and their results. Text goes
    through at once. At most `limit` times are calls carried out.
    """

    def __init__(
        self, router: Router, request: BrainRequest, execute: Execute, limit: int, answer: Answer
    ) -> None:
        self._router = router
        self._request = request
        self._execute = execute
        self._limit = limit
        self._answer = answer
        self._finish = Finish()
        self._calls: list[ToolCall] = []
        self._text: list[str] = []
        self._said = False

    async def events(self, shortened: bool) -> AsyncGenerator[BrainEvent, None]:
        """The reply; raises `BrainError` when the brain does, never because of a tool."""
        done = 0
        async with aclosing(self._ask(shortened)) as first:
            async for event in first:
                yield event
        while self._calls and self._request.tools and done < self._limit:
            done += 1
            await self._carry_out(last=done == self._limit)
            async with aclosing(self._ask_again()) as further:
                async for event in further:
                    yield event
        if self._calls:
            for call in self._calls:
                await self._execute(call, True)
            self._finish = Finish()
            if not self._said:
                yield Text(OUT_OF_ROUNDS)
        if self._answer.usage is not None:
            yield self._answer.usage
        yield self._finish

    async def _ask(self, shortened: bool) -> AsyncGenerator[BrainEvent, None]:
        """The text of one round; its calls, its end and its cost are noted."""
        self._calls, self._text = [], []
        answer = self._router.stream(self._request, shortened=shortened)
        try:
            async with aclosing(answer):
                async for event in answer:
                    self._credit(answer)
                    match event:
                        case Text():
                            yield self._spaced(event)
                        case ToolCall():
                            self._calls.append(event)
                        case Finish():
                            self._finish = event
                        case Usage():
                            pass  # counted from the answer, which knows it also after an error
        finally:
            self._add_cost(answer)

    async def _ask_again(self) -> AsyncGenerator[BrainEvent, None]:
        try:
            async with aclosing(self._ask(True)) as events:
                async for event in events:
                    yield event
        except BrainError as error:
            if error.kind != "context_too_long":
                raise
            # Of this kind it would be asked anew with less history, and every tool called again.
            message = "the tools' results are too long for the model: lower tools.result_chars"
            raise BrainError(message, kind="refused") from error

    def _spaced(self, event: Text) -> Text:
        """The first text after a call is kept apart from the text before it."""
        apart = self._said and not self._text and not event.text[:1].isspace()
        self._text.append(event.text)
        self._said = True
        return Text(f" {event.text}") if apart else event

    async def _carry_out(self, *, last: bool) -> None:
        """Carry out the calls in their order and grow the request by them and their results."""
        asked = BrainMessage("assistant", "".join(self._text), tool_calls=tuple(self._calls))
        results = [
            BrainMessage("tool", await self._execute(call, index >= MAX_CALLS), (), call.id)
            for index, call in enumerate(self._calls)
        ]
        self._answer.results += [
            (call.name, result.content) for call, result in zip(self._calls, results, strict=True)
        ]
        if last:
            results[-1] = _with_note(results[-1], LAST_ROUND)
        messages: Sequence[BrainMessage] = [*self._request.messages, asked, *results]
        self._request = msgspec.structs.replace(self._request, messages=messages)

    def _credit(self, answer: Answer) -> None:
        self._answer.provider, self._answer.model = answer.provider, answer.model
        self._answer.note = self._answer.note or answer.note

    def _add_cost(self, answer: Answer) -> None:
        """Add what a round cost; the price of the whole is known when that of each round is."""
        whole, part = self._answer.usage, answer.usage
        if part is None:
            return
        if whole is None:
            self._answer.usage, self._answer.cost_micros = part, answer.cost_micros
            return
        self._answer.usage = Usage(
            whole.input_tokens + part.input_tokens,
            whole.output_tokens + part.output_tokens,
            whole.cached_tokens + part.cached_tokens,
        )
        known = self._answer.cost_micros is not None and answer.cost_micros is not None
        total = (self._answer.cost_micros or 0) + (answer.cost_micros or 0)
        self._answer.cost_micros = total if known else None


def _with_note(message: BrainMessage, note: str) -> BrainMessage:
    return msgspec.structs.replace(message, content=f"{message.content}\n{note}")
