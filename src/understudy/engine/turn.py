"""What a turn is asked and what comes of it: the request, the outcome, and the rows kept.

Owns the shape of a turn's record. Does not own how a turn runs (`turns`).
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Sequence

import msgspec

from understudy.brains.base import BrainError, Task, Usage
from understudy.brains.router import Answer
from understudy.config import Settings
from understudy.engine.context import Context, ContextPart
from understudy.engine.known_events import KnownEvents
from understudy.engine.personas import Persona
from understudy.engine.runs import DoneFrame, ErrorFrame, Run
from understudy.engine.tokens import estimate_tokens
from understudy.events import ChatMessage, Reply, Role, TurnStatus, now_ms
from understudy.storage.rows import WITHHELD, ExperienceOrigin, ExperienceRow, SessionMessageRow
from understudy.storage.sessions import SessionMessage

logger = logging.getLogger(__name__)


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be answered, for whom and where.

    `role` is the standing of `user`, on which the tools depend that may be called.
    `cue` is what the model is told beside `text`, in Understudy's or the streamer's own words.
    `channel` is set for turns of a stream, whose tokens are published; `origin` says where the
    experience comes from. `grace` is how many seconds the reply outlives its last reader, None
    for ever. `run` and `ts` are given by rehearsals, which must repeat exactly. `known_events` are
    those of the stream.
    """

    session: str
    user: str
    text: str
    persona: str
    role: Role = "viewer"
    viewer: str = ""
    client_context: str | None = None
    recent_chat: Sequence[ChatMessage] = ()
    channel: str = ""
    streamer: str = ""
    origin: ExperienceOrigin = "web"
    in_reply_to: str = ""
    task: Task = "chat"
    cue: str = ""
    event: str = ""
    amount: int = 0
    grace: float | None = None
    run: str = ""
    ts: int = 0
    known_events: KnownEvents | None = None


class Outcome(msgspec.Struct):
    """What speaking came to, filled in as it goes.

    `provider` and `model` say who answered, empty while nobody has; `cost_micros` is in
    millionths of a dollar, None when the price is not known. `config_hash` names the settings it
    was said under, `withheld` counts what the output filter kept back.
    """

    context: Context | None = None
    config_hash: str = ""
    withheld: int = 0
    usage: Usage = Usage()
    provider: str = ""
    model: str = ""
    cost_micros: int | None = None
    status: TurnStatus = "complete"
    error: str = ""
    retryable: bool = False
    first_token_ms: int | None = None


def valid_text(text: str) -> str:
    """`text` with half characters (lone surrogates), which no output could encode, as `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def user_row(run: str, request: TurnRequest) -> SessionMessageRow:
    """The row of the message that is answered."""
    return SessionMessageRow(
        id=f"{run}_user",
        session=request.session,
        ts=request.ts or now_ms(),
        role="user",
        user=request.user,
        text=request.text,
        run=run,
    )


def reply_row(request: TurnRequest, reply: Reply, cohost: str) -> SessionMessageRow:
    """The row of the reply."""
    return SessionMessageRow(
        id=reply.id,
        session=request.session,
        ts=reply.ts,
        role="assistant",
        user=cohost,
        text=reply.text,
        run=reply.turn,
        status=reply.status,
    )


def end_frame(reply: Reply, outcome: Outcome, durable: bool) -> DoneFrame | ErrorFrame:
    """The last frame of a run; without a message id when the reply is not `durable`."""
    if reply.status == "failed":
        return ErrorFrame(reply.error, outcome.retryable)
    usage = {
        "input_tokens": outcome.usage.input_tokens,
        "output_tokens": outcome.usage.output_tokens,
    }
    return DoneFrame(reply.id if durable else None, usage, reply.status)


def note_answer(outcome: Outcome, answer: Answer) -> None:
    """Take over who answered, and what it cost as far as is known by now."""
    outcome.provider, outcome.model = answer.provider, answer.model
    outcome.usage = answer.usage or outcome.usage
    outcome.cost_micros = answer.cost_micros
    if outcome.context is not None:
        outcome.context.account.extend(
            ContextPart("tool result", name, estimate_tokens(text), True, "the model called it")
            for name, text in answer.results
        )


def note_end(outcome: Outcome, run: Run, speaking: asyncio.Task[None]) -> BrainError | None:
    """Read from the finished speaking task of `run` how it ended; returns what a brain said."""
    error = None if speaking.cancelled() else speaking.exception()
    if speaking.cancelled() or (error is not None and run.stop_status):
        # What a model says to being cut off is no failure.
        outcome.status = run.stop_status or "stopped"
        return None
    if error is None:
        return None
    outcome.status = "failed"
    if isinstance(error, BrainError):
        outcome.error, outcome.retryable = str(error), error.retryable
        return error
    logger.error("answer %s failed", run.id, exc_info=error)
    outcome.error = "the answer failed inside Understudy: see the server's log"
    return None


def elapsed_ms(started: float) -> int:
    """Milliseconds since `started`, a time of `time.monotonic`."""
    return round((time.monotonic() - started) * 1000)


_VERSION = re.compile(r"(?:^|@)([\w-]+@\d+)$")


def version_of(model: str) -> str:
    """The trained version in a model's name, such as `all@3` in `tiny@all@3`; empty for none."""
    found = _VERSION.search(model)
    return found[1] if found else ""


def config_hash(persona: Persona, settings: Settings, channel: str) -> str:
    """What shapes the answers in `channel` besides what is said, as 16 hex digits.

    The same persona and settings give the same digits for ever; secrets and addresses are left out.
    """
    brain = settings.brain
    shape = [
        *(persona.name, persona.prompt, settings.persona.name),
        *(brain.provider, brain.model, brain.hf_model, brain.quantization, brain.fallback),
        *(brain.context_tokens, brain.reply_tokens, settings.learning.examples_for(channel)),
        *(settings.tools.builtin, [server.name for server in settings.tools.servers]),
    ]
    return hashlib.sha256(msgspec.json.encode(shape)).hexdigest()[:16]


def experience_row(request: TurnRequest, reply: Reply, outcome: Outcome) -> ExperienceRow:
    """The exchange as the model saw it, with the account of its context and what it cost."""
    context, usage = outcome.context, outcome.usage
    assert context is not None, "an experience needs the context that was given"
    system = [{"role": "system", "content": context.system_prompt}]
    messages = [{"role": m.role, "content": m.content} for m in context.messages]
    return ExperienceRow(
        id=reply.turn,
        ts=reply.ts,
        channel=reply.channel,
        session=reply.session,
        user=reply.user,
        persona=reply.persona,
        model=reply.model,
        prompt_messages=system + messages,
        prompt_text=request.text,
        response=reply.text,
        status=reply.status,
        in_reply_to=reply.in_reply_to,
        context_account=msgspec.to_builtins(context.account),
        first_token_ms=reply.first_token_ms,
        total_ms=reply.total_ms,
        origin=request.origin,
        provider=outcome.provider,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        cost_micros=outcome.cost_micros,
        version=version_of(reply.model),
        config_hash=outcome.config_hash,
        events=",".join(_events(request, reply, outcome)),
    )


def _events(request: TurnRequest, reply: Reply, outcome: Outcome) -> list[str]:
    known = request.known_events
    around = known.around(request.ts or reply.ts) if known is not None else []
    return [*around, WITHHELD] if outcome.withheld else around


def session_message(row: SessionMessageRow) -> SessionMessage:
    """The message of a conversation that a row stores."""
    return SessionMessage(
        id=row.id,
        ts=row.ts,
        role=row.role,
        user=row.user,
        text=row.text,
        run=row.run,
        status=row.status,
    )
