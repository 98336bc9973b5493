"""Turns: a message goes to the brain, a reply comes out as a run, everything is kept.

The cancellation contract, which `tests/engine/test_turns.py` holds this module to:

1. `stop` ends a reply after the token being shown; nothing is said afterwards.
2. A new turn of a session replaces the one under way; the old reply gets its end frame first.
3. Ending a run never touches a run of another session.
4. When the last reader of a run has been gone for the grace time, the model call is cancelled.
5. Every run ends with exactly one end frame, and what was shown is stored with its status.
6. Closing ends every run in this way and waits for its rows.

Tokens never wait for the log. The end frame does: a `message_id` in it means durable.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import aclosing
from typing import Any, Protocol

from understudy.brains.base import BrainError, BrainRequest, Text, Usage
from understudy.brains.router import Answer, Router
from understudy.config import Settings
from understudy.engine.clock import Clock
from understudy.engine.context import Context, assemble
from understudy.engine.personas import Persona, PersonaNotFound, Personas
from understudy.engine.reply import Felt, ReplyPart, ReplyStream, Shown
from understudy.engine.runs import Run, TokenFrame, reply_id
from understudy.engine.sessions import SessionManager
from understudy.engine.tools.base import Caller
from understudy.engine.tools.toolbox import Toolbox
from understudy.engine.turn import (
    Outcome,
    TurnRequest,
    end_frame,
    experience_row,
    reply_row,
    session_message,
    user_row,
)
from understudy.events import (
    Emotion,
    Event,
    Reply,
    ReplyToken,
    TurnStarted,
    TurnStatus,
    new_id,
    now_ms,
)
from understudy.storage.errors import StorageError
from understudy.storage.log_writer import LogWriter
from understudy.storage.sessions import SessionMessage

logger = logging.getLogger(__name__)


class Busy(Exception):
    """Too many replies are under way."""


class Publish(Protocol):
    """Hands an event of a stream's turn to the bus."""

    async def __call__(self, event: Event) -> None:
        """Publish `event`."""
        ...


class Turns:
    """Starts, finds and stops the runs of this process."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        sessions: SessionManager,
        personas: Personas,
        log: LogWriter,
        publish: Publish,
        *,
        reply_stream: Callable[[Collection[str]], ReplyStream],
        clock: Clock | None = None,
        on_reply: Callable[[Reply], None] | None = None,
        toolbox: Toolbox | None = None,
    ) -> None:
        self._settings = settings
        self._router = router
        self._sessions = sessions
        self._personas = personas
        self._log = log
        self._publish = publish
        self._reply_stream = reply_stream
        self._clock = clock or Clock()
        self._on_reply = on_reply
        self._toolbox = toolbox
        self._runs: OrderedDict[str, tuple[Run, float]] = OrderedDict()
        self._active: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def active(self) -> int:
        """Replies under way."""
        return len(self._tasks)

    def get(self, run: str) -> Run | None:
        """The run, while it is under way or can still be resumed."""
        self._forget_expired()
        entry = self._runs.get(run)
        return entry[0] if entry else None

    def active_run(self, session: str) -> Run | None:
        """The reply under way in `session`, if there is one."""
        entry = self._active.get(session)
        return entry[0] if entry else None

    def stop(self, run: str, status: TurnStatus = "stopped") -> bool:
        """End the run early; False when it is unknown or has ended."""
        found = self.get(run)
        return found.stop(status) if found else False

    async def start(self, request: TurnRequest) -> Run:
        """Begin a turn and return its run at once; the reply is made in a task of its own.

        A reply under way in the same session is replaced. Raises `Busy` and, when the log cannot
        take rows, `LogUnavailable`.
        """
        if self._closing:
            raise Busy("the server is stopping: try again in a moment")
        if len(self._tasks) >= self._settings.limits.streams:
            raise Busy("too many replies are under way: try again in a moment")
        run = Run(request.run or new_id("run_"), request.session, grace=request.grace)
        self._forget_expired()
        await self._replace(request.session)
        history = await self._sessions.history(request.session)
        message = user_row(run.id, request)
        stored = self._log.submit(message)
        self._sessions.remember(request.session, session_message(message))
        task = asyncio.create_task(self._take(run, request, history, stored), name=run.id)
        self._tasks.add(task)
        self._active[request.session] = (run, task)
        self._runs[run.id] = (run, float("inf"))
        task.add_done_callback(lambda done: self._ended(run, done))
        return run

    async def say(self, request: BrainRequest) -> str:
        """A one-off answer without session, run or record; raises `BrainError`."""
        reply = self._reply_stream(())
        parts: list[ReplyPart] = []
        async with aclosing(self._router.stream(request)) as events:
            async for event in events:
                if isinstance(event, Text):
                    parts += reply.feed(event.text)
        parts += reply.finish()
        return "".join(part.text for part in parts if isinstance(part, Shown))

    async def close(self) -> None:
        """Stop every reply; returns when each has its end frame and its rows are on their way."""
        self._closing = True
        for run, _ in list(self._runs.values()):
            run.stop("stopped")
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _replace(self, session: str) -> None:
        """End the reply under way in `session`, if any.

        The history is read into the cache first: between the last look at `_active` and the
        registration of the new run nothing may wait, or two turns could both think they are alone.
        """
        await self._sessions.history(session)
        while (entry := self._active.get(session)) is not None:
            entry[0].stop("replaced")
            await asyncio.wait([entry[1]])

    async def _take(
        self,
        run: Run,
        request: TurnRequest,
        history: list[SessionMessage],
        stored: asyncio.Future[None],
    ) -> None:
        """Speak in a task that `Run.stop` may cancel, then record what was said."""
        started = time.monotonic()
        outcome = Outcome()
        speaking = asyncio.create_task(self._speak(run, request, history, outcome))
        run.own(speaking)
        await asyncio.wait([speaking])
        self._judge(run, speaking, outcome)
        reply = self._describe(run, request, outcome, _elapsed_ms(started))
        durable = await self._record(request, reply, outcome, stored)
        run.finish(reply, end_frame(reply, outcome, durable))
        if self._on_reply:
            self._on_reply(reply)
        if request.channel:
            await self._publish(reply)

    async def _speak(
        self, run: Run, request: TurnRequest, history: list[SessionMessage], outcome: Outcome
    ) -> None:
        started = time.monotonic()
        persona = self._persona(request.persona)
        context = self._assemble(request, persona, history)
        outcome.context = context
        if request.channel:
            await self._announce(run, request)
        reply = self._reply_stream(persona.emotions)
        answer = self._answer(self._ask(request, context), request, history)
        async with aclosing(answer) as events:
            async for event in events:
                if isinstance(event, Usage):
                    outcome.usage = event
                if not isinstance(event, Text):
                    continue
                await self._show(run, request, reply.feed(event.text), outcome, started)
        await self._show(run, request, reply.finish(), outcome, started)

    async def _show(
        self,
        run: Run,
        request: TurnRequest,
        parts: list[ReplyPart],
        outcome: Outcome,
        started: float,
    ) -> None:
        for part in parts:
            if isinstance(part, Shown):
                if outcome.first_token_ms is None:
                    outcome.first_token_ms = _elapsed_ms(started)
                seq = run.log.append(TokenFrame(part.text))
                if request.channel:
                    await self._publish(
                        ReplyToken(
                            id=f"{run.id}:{seq}",
                            channel=request.channel,
                            ts=self._clock.now(),
                            turn=run.id,
                            seq=seq,
                            text=part.text,
                        )
                    )
            elif isinstance(part, Felt) and request.channel:
                await self._publish(
                    Emotion(
                        id=new_id(),
                        channel=request.channel,
                        ts=self._clock.now(),
                        turn=run.id,
                        name=part.name,
                        intensity=part.intensity,
                    )
                )

    def _answer(
        self, ask: BrainRequest, request: TurnRequest, history: list[SessionMessage]
    ) -> Answer:
        if self._toolbox is None:
            return self._router.stream(ask)
        # Outside a stream words are not quoted, so rights end where others have spoken.
        others = any(m.role == "user" and m.user != request.user for m in history)
        role = "viewer" if others and not request.channel else request.role
        caller = Caller(request.user, role, request.channel, request.session)
        return self._toolbox.stream(self._router, ask, caller)

    def _persona(self, name: str) -> Persona:
        """The persona of that name; the default one when its file has gone meanwhile."""
        try:
            return self._personas.get(name)
        except PersonaNotFound as error:
            logger.warning("%s; answering as default", error)
            return self._personas.get("default")

    def _assemble(
        self, request: TurnRequest, persona: Persona, history: list[SessionMessage]
    ) -> Context:
        return assemble(
            persona=persona,
            history=history,
            message=request.text,
            viewer=request.viewer or request.user,
            client_context=request.client_context,
            recent_chat=request.recent_chat,
            facts=self._facts(request),
            budget=self._settings.brain.context_tokens,
            quote=bool(request.channel),
        )

    def _facts(self, request: TurnRequest) -> dict[str, str]:
        facts = {"your name": self._settings.persona.name}
        if request.streamer:
            facts["the streamer"] = request.streamer
        if request.event:
            facts["stream event"] = f"{request.event} by {request.viewer}, {request.amount}"
        return facts

    def _ask(self, request: TurnRequest, context: Context) -> BrainRequest:
        return BrainRequest(
            messages=context.messages,
            system_prompt=context.system_prompt,
            task=request.task,
            text=request.text,
            viewer=request.viewer or request.user,
            persona=request.persona,
            channel=request.channel,
            streamer=request.streamer,
            cohost=self._settings.persona.name,
            event=request.event,
            amount=request.amount,
            key=request.session,
            max_tokens=self._settings.brain.reply_tokens,
        )

    async def _announce(self, run: Run, request: TurnRequest) -> None:
        await self._publish(
            TurnStarted(
                id=f"{run.id}:0",
                channel=request.channel,
                ts=self._clock.now(),
                turn=run.id,
                session=request.session,
                persona=request.persona,
                model=self._router.brain.model,
                user=request.user,
                text=request.text,
                message_id=request.in_reply_to,
            )
        )

    def _judge(self, run: Run, speaking: asyncio.Task[None], outcome: Outcome) -> None:
        """Read from the finished speaking task how the reply ended."""
        if speaking.cancelled():
            outcome.status = run.stop_status or "stopped"
            return
        error = speaking.exception()
        if error is None:
            return
        outcome.status = "failed"
        if isinstance(error, BrainError):
            outcome.error, outcome.retryable = str(error), error.retryable
            return
        logger.error("turn %s failed", run.id, exc_info=error)
        outcome.error = "the answer failed inside Understudy: see the server's log"

    def _describe(self, run: Run, request: TurnRequest, outcome: Outcome, total_ms: int) -> Reply:
        return Reply(
            id=reply_id(run.id),
            channel=request.channel,
            ts=self._clock.now() if request.channel else now_ms(),
            turn=run.id,
            session=request.session,
            user=request.user,
            text=run.text(),
            status=outcome.status,
            model=self._router.brain.model,
            persona=request.persona,
            in_reply_to=request.in_reply_to,
            first_token_ms=outcome.first_token_ms,
            total_ms=total_ms,
            error=outcome.error,
        )

    async def _record(
        self,
        request: TurnRequest,
        reply: Reply,
        outcome: Outcome,
        stored: asyncio.Future[None],
    ) -> bool:
        """Hand the rows to the log and wait until they are durable; False when they are not."""
        message = reply_row(request, reply, self._settings.persona.name)
        if reply.text:
            self._sessions.remember(request.session, session_message(message))
        # The user's row may have failed for good already; its error must not be lost unread.
        pending: list[Any] = [stored, self._log.append(message)]
        if outcome.context is not None:
            pending.append(self._log.append(experience_row(request, reply, outcome.context)))
        results = await asyncio.gather(*pending, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, StorageError):
                raise failure
            logger.error("reply %s is not stored: %s", reply.turn, failure)
        return not failures

    def _ended(self, run: Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        entry = self._active.get(run.session)
        if entry is not None and entry[0] is run:
            del self._active[run.session]
        self._runs[run.id] = (run, time.monotonic() + self._settings.server.run_ttl)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("turn %s could not be concluded", run.id, exc_info=error)
        if not run.log.closed:
            run.abort("the answer could not be concluded: see the server's log")

    def _forget_expired(self) -> None:
        now = time.monotonic()
        expired = [run for run, (_, until) in self._runs.items() if until <= now]
        for run in expired:
            del self._runs[run]


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
