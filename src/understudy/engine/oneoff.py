"""One-off answers: a conversation that its caller keeps, answered once and streamed.

Owns what differs from a turn of a session (`turns`): there is no history here, so nothing is
remembered, replaced or resumed; what stays is the experience. The rest of the contract holds:

1. Tokens never wait for the log; here the end does not either, for it names no stored message.
2. When the last reader leaves, the model call is cancelled at once.
3. Every answer ends with exactly one end frame, and its experience is kept with its status.
4. Closing ends every answer in this way and waits for its row.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing

import msgspec

from understudy.brains.base import BrainError, BrainRequest, Finish, Text, Usage
from understudy.brains.router import Router
from understudy.config import Settings
from understudy.engine.context import Context, assemble
from understudy.engine.personas import Persona
from understudy.engine.reply import ReplyPart, ReplyStream, Shown
from understudy.engine.runs import Run, TokenFrame, reply_id
from understudy.engine.turn import (
    Outcome,
    TurnRequest,
    config_hash,
    elapsed_ms,
    end_frame,
    experience_row,
    note_answer,
    note_end,
)
from understudy.engine.turns import Busy
from understudy.events import Reply, new_id, now_ms
from understudy.safety.untrusted import SYSTEM_RULE, quote_viewer
from understudy.storage.errors import StorageError
from understudy.storage.log_writer import LogWriter
from understudy.storage.sessions import SessionMessage

logger = logging.getLogger(__name__)


class OneOffRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be answered, for whom, and by which persona; `viewer` is a name to speak of.

    `instructions` join the persona's own when the caller is `trusted`; otherwise the model gets
    them as a stranger's words. None takes the provider's default, for `max_tokens` the setting
    `brain.reply_tokens`.
    """

    user: str
    viewer: str = ""
    persona: Persona
    text: str
    history: Sequence[SessionMessage] = ()
    instructions: str = ""
    trusted: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()

    @property
    def conversation(self) -> str:
        """The same name for every question of a conversation that only ever grows."""
        opening = next((m.text for m in self.history if m.role == "user"), self.text)
        parts = (self.user, self.persona.name, self.instructions, opening)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return f"oneoff_{digest[:24]}"


class OneOff(Run):
    """An answer under way. `model`, `usage`, `finish_reason` and `failure` are known at its end.

    `failure` is what a brain said of a failed answer, None when the failure was elsewhere.
    """

    def __init__(self, run_id: str, conversation: str) -> None:
        super().__init__(run_id, conversation, grace=0.0)
        self.outcome = Outcome()
        self.finish_reason = Finish().reason
        self.failure: BrainError | None = None

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.outcome.model

    @property
    def usage(self) -> Usage:
        """Tokens read and written, as far as the brain told."""
        return self.outcome.usage


class OneOffs:
    """Starts the one-off answers of this process."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        log: LogWriter,
        *,
        reply_stream: Callable[[Collection[str]], ReplyStream],
        on_reply: Callable[[Reply, Outcome], None] | None = None,
    ) -> None:
        self._settings = settings
        self._router = router
        self._log = log
        self._reply_stream = reply_stream
        self._on_reply = on_reply
        self._running: dict[asyncio.Task[None], OneOff] = {}
        self._closing = False

    @property
    def active(self) -> int:
        """Answers under way."""
        return len(self._running)

    def start(self, request: OneOffRequest) -> OneOff:
        """Begin an answer in a task of its own and return it at once.

        Raises `Busy`, and `BrainError` of the kind `context_too_long` when the question or the
        instructions alone are more than the model may be given.
        """
        if self._closing:
            raise Busy("the server is stopping: try again in a moment")
        if self.active >= self._settings.limits.streams:
            raise Busy("too many replies are under way: try again in a moment")
        context = self._assemble(request, self._settings.brain.context_tokens)
        answer = OneOff(new_id("run_"), request.conversation)
        # Owned before anything can wait, or a stop that comes right away would be missed.
        speaking = asyncio.create_task(self._speak(answer, request, context))
        answer.own(speaking)
        task = asyncio.create_task(self._take(answer, request, speaking), name=answer.id)
        self._running[task] = answer
        task.add_done_callback(self._ended)
        return answer

    async def close(self) -> None:
        """Stop every answer; returns when each has its end frame and its row is stored."""
        self._closing = True
        for answer in list(self._running.values()):
            answer.stop("stopped")
        if self._running:
            await asyncio.wait(list(self._running))

    def _assemble(self, request: OneOffRequest, budget: int) -> Context:
        """The prompt in at most `budget` tokens; raises `BrainError` when it cannot be that."""
        persona, quoted = request.persona, None
        if request.instructions and request.trusted:
            prompt = f"{persona.system_prompt.strip()}\n\n{request.instructions}"
            persona = msgspec.structs.replace(persona, system_prompt=prompt)
        elif request.instructions:
            quoted = f"{SYSTEM_RULE}\n{quote_viewer(request.user, request.instructions)}"
        context = assemble(
            persona=persona,
            history=request.history,
            message=request.text,
            viewer=request.user,
            client_context=quoted,
            facts={"your name": self._settings.persona.name},
            budget=budget,
            quote=False,
        )
        _check_whole(context, budget)
        return context

    async def _take(
        self, answer: OneOff, request: OneOffRequest, speaking: asyncio.Task[None]
    ) -> None:
        """Wait for the speaking task, which `stop` may cancel, then keep the experience."""
        started = time.monotonic()
        await asyncio.wait([speaking])
        answer.failure = note_end(answer.outcome, answer, speaking)
        reply = self._describe(answer, request, elapsed_ms(started))
        answer.finish(reply, end_frame(reply, answer.outcome, durable=False))
        if self._on_reply:
            self._on_reply(reply, answer.outcome)
        if answer.outcome.context is not None:
            await self._record(request, reply, answer.outcome)

    async def _speak(self, answer: OneOff, request: OneOffRequest, context: Context) -> None:
        try:
            await self._say(answer, request, context, shortened=False)
        except BrainError as error:
            if error.kind != "context_too_long":
                raise
            # Our count of tokens is an estimate, and the model's may be much higher.
            context = self._assemble(request, self._settings.brain.context_tokens // 2)
            await self._say(answer, request, context, shortened=True)

    async def _say(
        self, answer: OneOff, request: OneOffRequest, context: Context, *, shortened: bool
    ) -> None:
        started = time.monotonic()
        answer.outcome.context = context
        answer.outcome.config_hash = config_hash(request.persona, self._settings, "")
        reply = self._reply_stream(request.persona.emotions)
        asked = self._router.stream(self._ask(request, context), shortened=shortened)
        try:
            async with aclosing(asked):
                async for event in asked:
                    if isinstance(event, Text):
                        _show(answer, reply.feed(event.text), started)
                    elif isinstance(event, Finish):
                        answer.finish_reason = event.reason
            _show(answer, reply.finish(), started)
        finally:
            note_answer(answer.outcome, asked)

    def _ask(self, request: OneOffRequest, context: Context) -> BrainRequest:
        return BrainRequest(
            messages=context.messages,
            system_prompt=context.system_prompt,
            text=request.text,
            viewer=request.viewer,
            persona=request.persona.name,
            cohost=self._settings.persona.name,
            key=request.conversation,
            max_tokens=request.max_tokens or self._settings.brain.reply_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            stop=request.stop,
        )

    def _describe(self, answer: OneOff, request: OneOffRequest, total_ms: int) -> Reply:
        outcome = answer.outcome
        return Reply(
            id=reply_id(answer.id),
            channel="",
            ts=now_ms(),
            turn=answer.id,
            session=answer.session,
            user=request.user,
            text=answer.text(),
            status=outcome.status,
            model=answer.model or self._router.brain.model,
            persona=request.persona.name,
            first_token_ms=outcome.first_token_ms,
            total_ms=total_ms,
            error=outcome.error,
        )

    async def _record(self, request: OneOffRequest, reply: Reply, outcome: Outcome) -> None:
        turn = TurnRequest(
            session=reply.session, user=request.user, text=request.text, persona=reply.persona
        )
        try:
            await self._log.append(experience_row(turn, reply, outcome))
        except StorageError as error:
            logger.error("answer %s is not stored: %s", reply.turn, error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        answer = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("answer %s could not be concluded", answer.id, exc_info=error)
        if not answer.log.closed:
            answer.abort("the answer could not be concluded: see the server's log")


def _check_whole(context: Context, budget: int) -> None:
    """Raise `BrainError` when something that its caller counts on was cut or left out.

    Old history may go, as in every conversation; the question and the instructions may not.
    """
    cut = {
        "message": "the last message is",
        "client context": "the system message is",
    }
    for part in context.account:
        if part.name in cut and part.why not in {"always", "fits"}:
            raise BrainError(
                f"{cut[part.name]} too long for the {budget} tokens of context: shorten it",
                kind="context_too_long",
            )


def _show(answer: OneOff, parts: list[ReplyPart], started: float) -> None:
    for part in parts:
        if isinstance(part, Shown):
            if answer.outcome.first_token_ms is None:
                answer.outcome.first_token_ms = elapsed_ms(started)
            answer.log.append(TokenFrame(part.text))
