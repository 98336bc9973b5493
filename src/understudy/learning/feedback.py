"""Takes in judgements of replies: who may say what, how much it weighs, and that it is said once.

Owns the weights and the checks. Does not own the rules by which rows count (`storage.feedback`),
who speaks for whom (`server`), nor which reply a vote in the chat is about (`reactions`).
"""

import math

import msgspec

from understudy.events import new_id, now_ms
from understudy.storage.experiences import Experiences
from understudy.storage.feedback import FeedbackKind, standing
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import FeedbackRow, FeedbackSource

WEIGHTS: dict[FeedbackSource, float] = {
    "streamer": 5.0,
    "moderator": 5.0,
    "viewer": 1.0,
    "system": 0.5,
}
"""How much a judgement weighs by whose it is."""

MAX_RANKED = 20


class FeedbackError(ValueError):
    """A judgement says nothing that could be stored; the message is one sentence."""


class NoSuchReply(LookupError):
    """There is no reply to judge; the message is one sentence."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What `by` makes of a reply, `experience` being the id of its run.

    `value` is that of a thumb (1 or -1), `text` the better reply of an edit, `ranked` the replies
    of a ranking, best first. `weight` replaces that of the source, `ts` (ms) the present.
    """

    experience: str
    kind: FeedbackKind
    by: str
    source: FeedbackSource
    value: float = 0.0
    text: str = ""
    ranked: tuple[str, ...] = ()
    note: str = ""
    weight: float | None = None
    ts: int = 0


class Feedback:
    """Stores judgements of experiences."""

    def __init__(self, experiences: Experiences, log: LogWriter) -> None:
        self._experiences = experiences
        self._log = log

    async def give(self, judgement: Judgement) -> FeedbackRow:
        """Store a judgement; returns once it is durable, with its row.

        It takes the place of what the same person said of the reply in the same kind; the same said
        again is stored once. Raises `FeedbackError`, `NoSuchReply` and `StorageError`.
        """
        value, text = _content(judgement)
        return await self._store(judgement, value, text)

    async def withdraw(self, judgement: Judgement) -> bool:
        """Take back what the person said of the reply in this kind; False when that is nothing."""
        said = await self._said(judgement)
        if not said or not said[-1].value:
            return False
        await self._store(judgement, 0.0, "")
        return True

    async def of(self, experience: str) -> list[FeedbackRow]:
        """The judgements of a reply that count, oldest first; raises `NoSuchReply`."""
        await self._check(experience)
        return standing(await self._experiences.feedback(experience))

    async def _store(self, judgement: Judgement, value: float, text: str) -> FeedbackRow:
        await self._check(judgement.experience)
        said = await self._said(judgement)
        last = said[-1] if said else None
        weight = WEIGHTS[judgement.source] if judgement.weight is None else judgement.weight
        content = (value, text, judgement.note, weight)
        if last is not None and (last.value, last.text, last.note, last.weight) == content:
            return last
        row = FeedbackRow(
            id=new_id("feedback_"),
            experience=judgement.experience,
            # The newest counts, also among those of one millisecond.
            ts=max(judgement.ts or now_ms(), last.ts + 1 if last else 0),
            kind=judgement.kind,
            value=value,
            by=judgement.by,
            note=judgement.note,
            source=judgement.source,
            weight=weight,
            text=text,
        )
        await self._log.append(row)
        return row

    async def _said(self, judgement: Judgement) -> list[FeedbackRow]:
        """What the person said of the reply in this kind so far, oldest first."""
        rows = await self._experiences.feedback(judgement.experience)
        person = (judgement.kind, judgement.by, judgement.source)
        return [row for row in rows if (row.kind, row.by, row.source) == person]

    async def _check(self, experience: str) -> None:
        if await self._experiences.get(experience) is None:
            raise NoSuchReply(f"there is no reply {experience[:64]!r} to judge: check its id")


def _content(judgement: Judgement) -> tuple[float, str]:
    """The value and text to store; raises `FeedbackError`."""
    match judgement.kind:
        case "thumb" | "reward":
            if not math.isfinite(judgement.value) or not judgement.value:
                raise FeedbackError("a thumb needs a value: send 1 for good or -1 for bad")
            return math.copysign(1.0, judgement.value), ""
        case "edit":
            if not judgement.text.strip():
                raise FeedbackError("an edit needs a text: send the reply as it should have been")
            return 1.0, judgement.text.strip()
        case "rank":
            return 1.0, _ranking(judgement.ranked)
        case "note":
            if not judgement.note.strip():
                raise FeedbackError("a note needs words: send them as note")
            return 1.0, ""
        case "safety":
            return -1.0, ""


def _ranking(replies: tuple[str, ...]) -> str:
    ranked = [reply.strip() for reply in replies if reply.strip()]
    if len(ranked) < 2 or len(ranked) > MAX_RANKED or len(set(ranked)) < len(ranked):
        raise FeedbackError(
            f"a ranking needs 2 to {MAX_RANKED} different replies: send them best first"
        )
    return msgspec.json.encode(ranked).decode()
