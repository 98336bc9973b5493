"""`/api/v1/feedback`: judgements of replies.

Moderators judge every reply in every way; viewers give a thumb to a
reply of a conversation of their own.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from understudy.engine.runs import run_of_reply
from understudy.engine.sessions import SessionNotFound
from understudy.learning.feedback import Feedback, FeedbackError, Judgement, NoSuchReply
from understudy.server.access import Moderator, ServicesDep, Viewer
from understudy.server.auth import Principal
from understudy.server.bodies import NAME_CHARS, FeedbackBody, JudgementKind
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.storage.feedback import FeedbackKind
from understudy.storage.rows import FeedbackRow, FeedbackSource

router = APIRouter(prefix="/api/v1", tags=["web app"])

ExperienceId = Annotated[str, Query(max_length=NAME_CHARS)]


@router.post("/feedback", status_code=201)
async def give(body: FeedbackBody, services: ServicesDep, caller: Viewer) -> dict[str, object]:
    """Judge a reply; stored before this answers.

    What you said before of the same reply, in the same kind, counts no longer.
    """
    judgement = Judgement(
        experience=_named_by(body),
        kind="thumb" if body.kind == "thumbs" else body.kind,
        by=caller.user,
        source=_source(caller),
        value=body.value or 0,
        text=body.text,
        ranked=tuple(body.replies),
        note=body.note,
    )
    await _check_right(services, caller, judgement.experience, judgement.kind)
    try:
        return _describe(await services.feedback.give(judgement))
    except NoSuchReply as error:
        raise Problem(404, str(error)) from None
    except FeedbackError as error:
        raise Problem(422, str(error)) from None


@router.get("/feedback")
async def judgements(
    services: ServicesDep, _: Moderator, experience: ExperienceId
) -> dict[str, object]:
    """What people and the room made of a reply, oldest first, and what it adds up to."""
    rows = await _standing(services.feedback, experience)
    rated = await services.experiences.get(experience)
    reaction = await services.reactions.get(experience)
    return {
        "feedback": [_describe(row) for row in rows],
        "rating": rated.rating if rated else 0.0,
        "blocked": rated.blocked if rated else False,
        "reaction": msgspec.to_builtins(reaction),
    }


@router.delete("/feedback", status_code=204)
async def withdraw(
    services: ServicesDep,
    caller: Viewer,
    experience: ExperienceId,
    kind: JudgementKind = "thumb",
) -> Response:
    """Take back what you said of a reply in this kind."""
    plain: FeedbackKind = "thumb" if kind == "thumbs" else kind
    await _check_right(services, caller, experience, plain)
    said = Judgement(experience=experience, kind=plain, by=caller.user, source=_source(caller))
    if not await services.feedback.withdraw(said):
        raise Problem(404, f"you said nothing of that reply that could be taken back ({plain})")
    return Response(status_code=204)


def _named_by(body: FeedbackBody) -> str:
    """The id of the experience that a body names."""
    if body.experience is not None and body.message_id is None:
        return body.experience
    if body.message_id is not None and body.experience is None:
        return run_of_reply(body.message_id)
    raise Problem(422, "name one reply, either by its experience or by its message_id")


async def _standing(feedback: Feedback, experience: str) -> list[FeedbackRow]:
    try:
        return await feedback.of(experience)
    except NoSuchReply as error:
        raise Problem(404, str(error)) from None


async def _check_right(
    services: Services, caller: Principal, experience: str, kind: FeedbackKind
) -> None:
    """Viewers give thumbs, and only to replies of conversations of their own."""
    if caller.may("moderator"):
        return
    if kind != "thumb" or not caller.may("viewer"):
        raise Problem(403, f"a {kind} needs the role moderator: your token has {caller.role}")
    found = await services.experiences.get(experience)
    try:
        session = await services.sessions.get(found.session) if found else None
    except SessionNotFound:
        session = None
    if session is None or session.user != caller.user:
        raise Problem(404, "there is no such reply in a conversation of yours")


def _source(caller: Principal) -> FeedbackSource:
    if caller.may("owner"):
        return "streamer"
    return "moderator" if caller.may("moderator") else "viewer"


def _describe(row: FeedbackRow) -> dict[str, object]:
    text: object = row.text
    if row.kind == "rank":
        text = msgspec.json.decode(row.text)
    return {
        "id": row.id,
        "experience": row.experience,
        "kind": row.kind,
        "value": row.value,
        "text": text,
        "note": row.note,
        "by": row.by,
        "source": row.source,
        "weight": row.weight,
        "ts": row.ts,
    }
