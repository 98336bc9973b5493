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
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

from understudy.brains.base import BrainError, BrainRequest, Text
from understudy.brains.router import Answer, Router
from understudy.config import Settings
from understudy.engine.asking import Asking, ChooseVersion
from understudy.engine.clock import Clock
from understudy.engine.context import LikedReply
from understudy.engine.liked_replies import LikedReplies
from understudy.engine.personas import Personas
from understudy.engine.reply import Felt, ReplyPart, ReplyStream, Shown
from understudy.engine.runs import Run, TokenFrame, reply_id
from understudy.engine.sessions import SessionManager
from understudy.engine.tools.base import Caller
from understudy.engine.tools.toolbox import Toolbox
from understudy.engine.turn import (
    Outcome,
    TurnRequest,
    elapsed_ms,
    end_frame,
    experience_row,
    note_answer,
    note_end,
    reply_row,
    session_message,
    user_row,
    valid_text,
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


Publish = Callable[[Event], Awaitable[None]]
"""Hands an event of a stream's turn to the bus."""


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
        on_reply: Callable[[Reply, Outcome], None] | None = None,
        toolbox: Toolbox | None = None,
        liked_replies: LikedReplies | None = None,
        choose_version: ChooseVersion | None = None,
    ) -> None:
        """`liked_replies` are shown to brains that do not look them up themselves."""
        self._settings = settings
        self._router = router
        self._sessions = sessions
        self._log = log
        self._publish = publish
        self._reply_stream = reply_stream
        self._clock = clock or Clock()
        self._on_reply = on_reply
        self._toolbox = toolbox
        self._asking = Asking(
            settings, router, personas, liked_replies=liked_replies, choose_version=choose_version
        )
        self._runs: dict[str, Run] = {}
        self._ended_runs: deque[tuple[float, Run]] = deque()
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
        return self._runs.get(run)

    def active_run(self, session: str) -> Run | None:
        """The reply under way in `session`, if there is one."""
        entry = self._active.get(session)
        return entry[0] if entry else None

    def stop(self, run: str, status: TurnStatus = "stopped") -> bool:
        """End the run early; False when it is unknown or has ended."""
        return (found := self.get(run)) is not None and found.stop(status)

    def forget(self, session: str, run: str) -> None:
        """Take the exchange of `run` out of its conversation at once, whether it has ended or not.

        What is stored of it stays until `erase`.
        """
        self._sessions.forget(session, run)

    async def erase(self, run: str) -> None:
        """Take the exchange of `run` out of the stored conversation once it has ended."""
        if (found := self.get(run)) is not None:
            await found.ended.wait()
        await self._sessions.erase(run)

    async def start(self, request: TurnRequest) -> Run:
        """Begin a turn and return its run at once; the reply is made in a task of its own.

        A reply under way in the same session is replaced. Raises `Busy` and, when the log cannot
        take rows, `LogUnavailable`.
        """
        self._forget_expired()
        self._refuse_if_busy()
        history = await self._replace(request.session)
        # Others may have started while this one waited. From here on nothing waits.
        self._refuse_if_busy()
        run = Run(request.run or new_id("run_"), request.session, grace=request.grace)
        message = user_row(run.id, request)
        stored = self._log.submit(message)
        self._sessions.remember(request.session, session_message(message))
        task = asyncio.create_task(self._take(run, request, history, stored), name=run.id)
        self._tasks.add(task)
        self._active[request.session] = (run, task)
        self._runs[run.id] = run
        task.add_done_callback(lambda done: self._ended(run, done))
        return run

    async def say(self, request: BrainRequest) -> str:
        """A one-off answer without session, run or record; raises `BrainError`."""
        reply = self._reply_stream(())
        parts: list[ReplyPart] = []
        async with aclosing(self._router.stream(request)) as events:
            async for event in events:
                if isinstance(event, Text):
                    parts += reply.feed(valid_text(event.text))
        parts += reply.finish()
        return "".join(part.text for part in parts if isinstance(part, Shown))

    async def close(self) -> None:
        """Stop every reply; returns when each has its end frame and its rows are on their way."""
        self._closing = True
        for run in list(self._runs.values()):
            run.stop("stopped")
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _refuse_if_busy(self) -> None:
        if self._closing:
            raise Busy("the server is stopping: try again in a moment")
        if len(self._tasks) >= self._settings.limits.streams:
            raise Busy("too many replies are under way: try again in a moment")

    async def _replace(self, session: str) -> list[SessionMessage]:
        """End the reply under way in `session`, if any; returns what was said before.

        The history is read before the look at `_active`: between that look and the registration
        of the new run nothing may wait, or two turns could both think they are alone.
        """
        while True:
            history = await self._sessions.history(session)
            entry = self._active.get(session)
            if entry is None:
                return history
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
        note_end(outcome, run, speaking)
        reply = self._describe(run, request, outcome, elapsed_ms(started))
        durable = await self._record(request, reply, outcome, stored)
        if request.channel:
            # Before `finish`: whoever waits for that may start the next turn at once.
            await self._publish(reply)
        run.finish(reply, end_frame(reply, outcome, durable))
        if self._on_reply:
            self._on_reply(reply, outcome)

    async def _speak(
        self, run: Run, request: TurnRequest, history: list[SessionMessage], outcome: Outcome
    ) -> None:
        if request.channel:
            await self._announce(run, request)
        budget = self._settings.brain.context_tokens
        examples = await self._asking.examples(request)
        try:
            await self._say(run, request, history, examples, outcome, budget)
        except BrainError as error:
            if error.kind != "context_too_long":
                raise
            # Our count of tokens is an estimate, and the model's may be much higher.
            await self._say(run, request, history, (), outcome, budget // 2, shortened=True)

    async def _say(
        self,
        run: Run,
        request: TurnRequest,
        history: list[SessionMessage],
        examples: Sequence[LikedReply],
        outcome: Outcome,
        budget: int,
        *,
        shortened: bool = False,
    ) -> None:
        """Speak with at most `budget` tokens of context."""
        started = time.monotonic()
        asked = self._asking.compose(request, history, examples, budget)
        outcome.config_hash, outcome.context = asked.config_hash, asked.context
        reply = self._reply_stream(asked.emotions)
        answer = self._answer(asked.request, request, history, shortened)
        try:
            async with aclosing(answer):
                async for event in answer:
                    if isinstance(event, Text):
                        parts = reply.feed(valid_text(event.text))
                        await self._show(run, request, parts, outcome, started)
            await self._show(run, request, reply.finish(), outcome, started)
        finally:
            outcome.withheld = reply.withheld
            note_answer(outcome, answer)

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
                    outcome.first_token_ms = elapsed_ms(started)
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
        self,
        ask: BrainRequest,
        request: TurnRequest,
        history: list[SessionMessage],
        shortened: bool,
    ) -> Answer:
        if self._toolbox is None:
            return self._router.stream(ask, shortened=shortened)
        # Outside a stream words are not quoted, so rights end where others have spoken.
        others = any(m.role == "user" and m.user != request.user for m in history)
        role = "viewer" if others and not request.channel else request.role
        caller = Caller(request.user, role, request.channel, request.session)
        return self._toolbox.stream(self._router, ask, caller, shortened=shortened)

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
            model=outcome.model or self._router.brain.model,
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
            pending.append(self._log.append(experience_row(request, reply, outcome)))
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
        self._ended_runs.append((time.monotonic() + self._settings.server.run_ttl, run))
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("turn %s could not be concluded", run.id, exc_info=error)
        if not run.log.closed:
            run.abort("the answer could not be concluded: see the server's log")

    def _forget_expired(self) -> None:
        now = time.monotonic()
        while self._ended_runs and self._ended_runs[0][0] <= now:
            _, run = self._ended_runs.popleft()
            # A rehearsal that is repeated gives its runs the same ids again.
            if self._runs.get(run.id) is run:
                del self._runs[run.id]
