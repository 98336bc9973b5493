"""One request to one brain, watched.

Owns the deadlines of a request, what its failure says about the brain's health, and what it used.
Does not own whether another attempt is made (`router`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator

import msgspec

from understudy.brains.base import (
    Brain,
    BrainError,
    BrainEvent,
    BrainRequest,
    Text,
    Usage,
)
from understudy.brains.breaker import Breaker
from understudy.brains.budget import Bill, Budget, estimate
from understudy.brains.thoughts import ThoughtCutter

_CHARS_PER_TOKEN = 4
_MOST_TOKENS = 10**9
_log = logging.getLogger(__name__)


class Deadline(msgspec.Struct, frozen=True):
    """A point in the event loop's time, and the seconds that led to it, to tell people."""

    at: float
    seconds: float

    def earlier(self, other: "Deadline") -> "Deadline":
        """The earlier one of two."""
        return self if self.at <= other.at else other


class Attempt:
    """Asks `brain` once: `open` waits for the first token, `next` gives all events in order.

    What comes before the first token is held back, so that an attempt that fails until then has
    left no trace. Both are for one task. `aclose` must be called however it ends: it stops the
    model, settles the bill and tells the breaker how the attempt went.
    """

    def __init__(
        self,
        brain: Brain,
        request: BrainRequest,
        *,
        first_token: Deadline,
        reply: Deadline,
        breaker: Breaker,
        ticket: int,
        budget: Budget,
        bill: Bill,
    ) -> None:
        self.brain = brain
        self.bill = bill
        self.usage: Usage | None = None
        """What the provider says it used; estimated by `aclose` when it does not say."""
        self._request = request
        self._first_token = first_token
        self._reply = reply
        self._breaker = breaker
        self._ticket = ticket
        self._budget = budget
        self._events: AsyncGenerator[BrainEvent, None] = brain.stream(request)
        self._held: deque[BrainEvent] = deque()
        self._heard = False
        self._opened = False
        self._ended = False
        self._error: BrainError | None = None
        self._thoughts = ThoughtCutter()
        self._pieces = 0
        self._characters = 0
        self._limit = reply
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._waiting = False
        self._expired = False
        self._cut = False

    async def open(self) -> None:
        """Wait until the brain has begun to answer; raises `BrainError`."""
        self._task = asyncio.current_task()
        self._set(self._first_token.earlier(self._reply))
        while not self._heard:
            event = await self.next()
            if event is None:
                message = f"the {self.brain.name} brain ended without an answer: try again"
                self._error = BrainError(message, kind="broken")
                raise self._error
            self._held.append(event)
            self._heard = not isinstance(event, Usage)
        self._set(self._reply)
        self._opened = True
        self._ticket = self._breaker.heard(self._ticket)
        # A server without a model in the settings names its own with the first request.
        self.bill.model = self.brain.answers_as(self._request)

    async def next(self) -> BrainEvent | None:
        """The next event, None at the end; raises `BrainError`.

        Empty tokens and what the model thinks before it speaks are left out.
        """
        if self._opened and self._held:
            return self._held.popleft()
        while True:
            event = await self._receive()
            if isinstance(event, Text):
                if not event.text:
                    continue
                self._pieces += 1
                self._characters += len(event.text)
                heard = self._thoughts.feed(event.text)
                if not heard:
                    continue
                return event if heard == event.text else Text(heard)
            if isinstance(event, Usage):
                event = self.usage = _plausible(event)
            elif event is None:
                self._ended = True
                rest = self._thoughts.finish()
                return Text(rest) if rest else None
            return event

    async def aclose(self) -> None:
        """Stop the model if it still speaks, and account for the attempt."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._events.aclose()
        finally:
            self.usage = self._used()
            self._budget.settle(self.bill, self.usage)
            self._report()

    async def _receive(self) -> BrainEvent | None:
        """What the brain yields next, within the deadline.

        One timer serves all waits. `asyncio.timeout` would set one for every token, which costs
        more than all else that is done about a token here.
        """
        if self._expired:
            raise self._timed_out()
        task = self._task
        assert task is not None
        asked_before = task.cancelling()
        self._waiting = True
        try:
            return await anext(self._events, None)
        except asyncio.CancelledError:
            others = task.cancelling() - asked_before - self._cut
            if others or not self._cut:
                raise
            raise self._timed_out() from None
        except BrainError as error:
            self._error = error
            raise
        except Exception as error:
            raise self._broken_down(error) from error
        finally:
            self._waiting = False
            if self._cut:
                self._cut = False
                task.uncancel()

    def _set(self, limit: Deadline) -> None:
        """Make `limit` the deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._limit = limit
        self._timer = asyncio.get_running_loop().call_at(limit.at, self._expire)

    def _expire(self) -> None:
        self._expired = True
        if self._waiting and self._task is not None:
            self._cut = True
            self._task.cancel()

    def _timed_out(self) -> BrainError:
        what = "did not finish" if self._heard else "said nothing"
        seconds = f"{self._limit.seconds:g} s"
        message = f"the {self.brain.name} brain {what} within {seconds}: try again"
        self._error = BrainError(message, kind="timeout")
        return self._error

    def _broken_down(self, error: Exception) -> BrainError:
        _log.error("the %s brain broke down", self.brain.name, exc_info=error)
        message = f"the {self.brain.name} brain broke down: try again, details are in the log"
        self._error = BrainError(message, kind="failed", retryable=True)
        return self._error

    def _used(self) -> Usage | None:
        """What the attempt used, estimated as far as the provider has not said; None for nothing.

        A request that was refused costs nothing; one that was cut short has been read.
        """
        refused = self._error is not None and self._error.kind != "timeout" and not self._heard
        if refused and self.usage is None:
            return None
        said = max(self._pieces, -(-self._characters // _CHARS_PER_TOKEN))
        if self.usage is None:
            return Usage(estimate(self._request).input_tokens, said)
        if self._ended:
            return self.usage
        return msgspec.structs.replace(
            self.usage, output_tokens=max(self.usage.output_tokens, said)
        )

    def _report(self) -> None:
        if self._ended and self._error is None:
            self._breaker.succeeded(self._ticket)
        elif self._error is not None and self._error.retryable:
            self._breaker.failed(self._ticket, str(self._error))
        else:
            self._breaker.released(self._ticket)


def _plausible(usage: Usage) -> Usage:
    """What a server says it used, within what is possible: it is added up and it is money."""
    return Usage(*(min(max(0, count), _MOST_TOKENS) for count in msgspec.structs.astuple(usage)))
