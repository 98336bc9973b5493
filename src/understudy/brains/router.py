"""Gets every reply from a brain that can give it, or says in one sentence why none can.

Owns the chain of brains, attempts and waits before the first token, and which brain answered. Does
not own how a provider works (`brains.<provider>`), which one is chosen (`choice`), nor what one
attempt does (`attempt`).

Until its first token a reply can move: to another attempt, then to the next brain of the chain.
From then on it belongs to one brain, and a failure is told to the reader: nobody reads half of one
answer and half of another.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any

from understudy.brains.attempt import Attempt, Deadline
from understudy.brains.backoff import Backoff
from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Usage
from understudy.brains.budget import Budget
from understudy.brains.chain import Link, make_chain
from understudy.brains.prices import Prices, load_prices
from understudy.brains.providers import AUTO, SCRIPTED
from understudy.brains.scripted import Recall, ScriptedBrain
from understudy.config import BrainSettings

FIRST_TOKEN_SECONDS = 30.0
REPLY_SECONDS = 120.0

_log = logging.getLogger(__name__)


class Answer(AsyncGenerator[BrainEvent, None]):
    """The events of one reply, and who gave it.

    `provider` and `model` are empty until the first event; `note` is why the first brain of the
    chain did not answer, empty when it did. `usage` and `cost_micros` (millionths of a dollar)
    are None until the reply is over, `cost_micros` also when the price is not known. `results` are
    what tools told the model on the way: their names and texts.
    """

    def __init__(self, events: "Callable[[Answer], AsyncGenerator[BrainEvent, None]]") -> None:
        self.provider = ""
        self.model = ""
        self.note = ""
        self.usage: Usage | None = None
        self.cost_micros: int | None = None
        self.results: list[tuple[str, str]] = []
        self._events = events(self)

    def __anext__(self) -> Coroutine[Any, Any, BrainEvent]:
        """The next event; raises `BrainError`."""
        return self._events.__anext__()

    async def asend(self, value: None) -> BrainEvent:
        """As `anext`: a reply takes nothing in."""
        return await self._events.asend(value)

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> BrainEvent:
        """Raise an error where the reply waits."""
        error = typ if isinstance(typ, BaseException) else typ()
        return await self._events.athrow(error)

    async def aclose(self) -> None:
        """Stop the model."""
        await self._events.aclose()


class Router:
    """The brain that answers, and those that answer when it cannot.

    `why` says in one sentence why it is this one. `fallback` are asked in their order, `missing`
    says what of them could not be made. `retries` are further attempts at one brain before the
    first token, for failures that may pass. `first_token_seconds` are for each brain, with all
    attempts and waits; `reply_seconds` are for the whole reply.
    """

    def __init__(
        self,
        brain: Brain | Link,
        why: str,
        *,
        fallback: Sequence[Brain | Link] = (),
        missing: Sequence[str] = (),
        first_token_seconds: float = FIRST_TOKEN_SECONDS,
        reply_seconds: float = REPLY_SECONDS,
        retries: int = 0,
        backoff: Backoff | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
    ) -> None:
        self.why = why
        self.budget = budget or Budget()
        self.prices = prices or load_prices()
        self._links = [b if isinstance(b, Link) else Link(b) for b in (brain, *fallback)]
        self._first_token_seconds = first_token_seconds
        self._reply_seconds = reply_seconds
        self._retries = retries
        self._backoff = backoff or Backoff()
        self._missing = missing

    @classmethod
    def from_settings(
        cls,
        settings: BrainSettings,
        *,
        why: str = "",
        recall: Recall | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
    ) -> "Router":
        """The router for `[brain]`, whose `auto` is settled by `choice.choose` before.

        A fallback that cannot be made is left out and reported by `problems`; for the first
        brain `UnknownProvider`, `BrainUnavailable` or what it lacks is raised.
        """
        if settings.provider == AUTO:
            settings = settings.model_copy(update={"provider": SCRIPTED})
        links, missing = make_chain(settings, recall)
        return cls(
            links[0],
            why or f"The {settings.provider} brain answers: brain.provider asks for it.",
            fallback=links[1:],
            missing=missing,
            first_token_seconds=settings.first_token_seconds,
            reply_seconds=settings.reply_seconds,
            retries=settings.retries,
            budget=budget,
            prices=prices,
        )

    @property
    def brain(self) -> Brain:
        """The brain that is asked first; one put in its place takes over with the next reply."""
        return self._links[0].brain

    @brain.setter
    def brain(self, brain: Brain) -> None:
        self._links[0] = Link(brain)

    @property
    def brains(self) -> list[Brain]:
        """The chain, in the order in which brains are asked."""
        return [link.brain for link in self._links]

    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what the brain is."""
        return self.brain.describe()

    def problems(self) -> list[str]:
        """What a person should look at, one sentence each."""
        found = [*self._missing, *(link.problem for link in self._links if link.problem)]
        if self.budget.limited:
            found += [
                f"the price of {link.brain.model} ({link.brain.name}) is not known, so no budget "
                "limits it: add it to prices.yaml in the data directory"
                for link in self._links
                if link.price(self.prices) is None
            ]
        return found

    def with_scripted(self, brain: Brain) -> "Router":
        """The same chain, but with `brain` as the scripted one, for a rehearsal.

        Models, health and budget are shared; only the original is closed.
        """
        links = [Link(brain) if isinstance(k.brain, ScriptedBrain) else k for k in self._links]
        return Router(
            links[0],
            self.why,
            fallback=links[1:],
            first_token_seconds=self._first_token_seconds,
            reply_seconds=self._reply_seconds,
            retries=self._retries,
            backoff=self._backoff,
            budget=self.budget,
            prices=self.prices,
        )

    def stream(self, request: BrainRequest, *, shortened: bool = False) -> Answer:
        """The reply to `request`, event by event without empty tokens.

        Raises `BrainError` only. Of the kind `context_too_long` it is raised without asking the
        next brain, so that the caller can leave out old messages and ask again, `shortened`; then
        it is an error like others.
        """
        return Answer(lambda answer: self._relay(request, shortened, answer))

    async def aclose(self) -> None:
        """Close the brains."""
        for link in self._links:
            await link.brain.aclose()

    async def _relay(
        self, request: BrainRequest, shortened: bool, answer: Answer
    ) -> AsyncGenerator[BrainEvent, None]:
        attempt = await self._first_to_answer(request, shortened, answer)
        try:
            async with aclosing(attempt):
                answer.provider, answer.model = attempt.bill.provider, attempt.bill.model
                while (event := await attempt.next()) is not None:
                    yield event
        finally:
            answer.usage, answer.cost_micros = attempt.usage, attempt.bill.cost_micros

    async def _first_to_answer(
        self, request: BrainRequest, shortened: bool, answer: Answer
    ) -> Attempt:
        """An open attempt at the first brain of the chain that begins to answer."""
        reply = self._deadline(self._reply_seconds)
        errors: list[BrainError] = []
        for link in self._links:
            try:
                attempt = await self._ask(link, request, reply)
            except BrainError as error:
                if error.kind == "context_too_long" and not shortened:
                    raise
                errors.append(error)
                link.failed(error)
            else:
                link.answered()
                answer.note = str(errors[0]) if errors else ""
                return attempt
        raise errors[0]

    async def _ask(self, link: Link, request: BrainRequest, reply: Deadline) -> Attempt:
        """An open attempt at this brain, after as many as are allowed."""
        first_token = self._deadline(self._first_token_seconds)
        for number in range(self._retries):
            try:
                return await self._try(link, request, first_token, reply)
            except BrainError as error:
                wait = self._backoff.wait(number, error)
                if not error.retryable or wait is None or link.breaker.state != "closed":
                    raise
                if self._now() + wait >= first_token.earlier(reply).at:
                    raise
                _log.info("%s; asking again in %.2f s", error, wait)
                await asyncio.sleep(wait)
        return await self._try(link, request, first_token, reply)

    async def _try(
        self, link: Link, request: BrainRequest, first_token: Deadline, reply: Deadline
    ) -> Attempt:
        """One attempt, open; raises `BrainError` when it fails before its first token."""
        ticket = link.breaker.admit()
        if ticket is None:
            raise link.resting()
        brain = link.brain
        try:
            bill = self.budget.reserve(request, brain.name, brain.model, link.price(self.prices))
        except BrainError:
            link.breaker.released(ticket)
            raise
        attempt = Attempt(
            brain,
            request,
            first_token=first_token,
            reply=reply,
            breaker=link.breaker,
            ticket=ticket,
            budget=self.budget,
            bill=bill,
        )
        try:
            await attempt.open()
        except BaseException:
            await attempt.aclose()
            raise
        return attempt

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline(self._now() + seconds, seconds)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
