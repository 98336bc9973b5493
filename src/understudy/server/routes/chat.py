"""`/chat…`: sessions, answers whole and streamed, resume and stop."""

import re

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from understudy.engine.runs import Run, reply_id
from understudy.server.access import ServicesDep, Viewer, check_owner, standing_of, user_of
from understudy.server.bodies import ChatBody, SessionMessageBody, StartBody
from understudy.server.conversation import (
    check_message,
    check_session_limit,
    open_session,
    start_turn,
    whole_reply,
)
from understudy.server.problems import Problem, problem_body
from understudy.server.services import Services
from understudy.server.sse import RunResponse

router = APIRouter(prefix="/chat", tags=["chat"])

_SEQ = re.compile("[0-9]{1,12}")
_EVENTS: dict[int | str, dict[str, object]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}
}


@router.post("")
async def chat(body: ChatBody, services: ServicesDep, caller: Viewer) -> dict[str, str | None]:
    """Answer a message whole; an unknown session is created."""
    check_message(services, body.message)
    session = await open_session(services, caller, body.session_id, body.user)
    check_session_limit(services, session.id)
    user = user_of(caller, body.user)
    role = standing_of(caller, user)
    run = await start_turn(services, session, body.message, user=user, role=role)
    reply, message_id = await whole_reply(run)
    return {"session_id": session.id, "reply": reply.text, "message_id": message_id}


@router.post("/start")
async def start(body: StartBody, services: ServicesDep, caller: Viewer) -> dict[str, str]:
    """Start a session with a persona."""
    persona = services.personas.get(body.persona or services.settings.persona.default)
    session = await services.sessions.start(user_of(caller, body.user_id), persona.name)
    return {"session_id": session.id, "persona": session.persona}


@router.post("/message")
async def message(
    body: SessionMessageBody, services: ServicesDep, caller: Viewer
) -> dict[str, str | None]:
    """Answer a message of a session whole."""
    run = await _answer(services, caller, body, grace=None)
    reply, message_id = await whole_reply(run)
    return {"session_id": run.session, "reply": reply.text, "message_id": message_id}


@router.post("/stream", response_class=StreamingResponse, responses=_EVENTS)
async def stream(body: SessionMessageBody, services: ServicesDep, caller: Viewer) -> Response:
    """Answer a message of a session token by token, as server-sent events."""
    run = await _answer(services, caller, body, grace=services.settings.server.stream_grace)
    return _stream_response(services, run, after=0)


@router.get("/runs/{run_id}", response_class=StreamingResponse, responses=_EVENTS)
async def resume(
    run_id: str, request: Request, services: ServicesDep, caller: Viewer, after: int | None = None
) -> Response:
    """Go on reading a run after event `after` (or the `Last-Event-ID` header).

    410 with the stored text once the run can no longer be resumed.
    """
    run = services.turns.get(run_id)
    if run is None:
        return await _expired(services, caller, run_id)
    check_owner(caller, await services.sessions.get(run.session))
    return _stream_response(services, run, after=_position(request, run_id, after))


@router.post("/runs/{run_id}/stop")
async def stop(run_id: str, services: ServicesDep, caller: Viewer) -> dict[str, bool]:
    """Stop a run; `stopped` is false when it had ended already."""
    run = services.turns.get(run_id)
    if run is None:
        raise Problem(404, f"there is no run {run_id!r} under way: it may have ended")
    check_owner(caller, await services.sessions.get(run.session))
    return {"stopped": run.stop()}


@router.get("/sessions/{session_id:path}")
async def history(session_id: str, services: ServicesDep, caller: Viewer) -> dict[str, object]:
    """The messages of a session with roles and times."""
    session = check_owner(caller, await services.sessions.get(session_id))
    messages = await services.sessions.history(session.id)
    active = services.turns.active_run(session.id)
    return {
        "session_id": session.id,
        "user": session.user,
        "persona": session.persona,
        "created_at": session.created_at,
        "ended_at": session.ended_at,
        "run": active.id if active else None,
        "messages": msgspec.to_builtins(messages),
    }


@router.delete("/sessions/{session_id:path}", status_code=204)
async def end(session_id: str, services: ServicesDep, caller: Viewer) -> None:
    """End a session and the reply under way in it."""
    session = check_owner(caller, await services.sessions.get(session_id))
    active = services.turns.active_run(session.id)
    if active is not None:
        active.stop()
    await services.sessions.end(session.id)


async def _answer(
    services: Services, caller: Viewer, body: SessionMessageBody, *, grace: float | None
) -> Run:
    check_message(services, body.message)
    session = check_owner(caller, await services.sessions.get_open(body.session_id))
    check_session_limit(services, session.id)
    role = standing_of(caller, session.user)
    return await start_turn(services, session, body.message, role=role, grace=grace)


def _stream_response(services: Services, run: Run, after: int) -> RunResponse:
    return RunResponse(run, after, services.settings.server.ping_interval)


def _position(request: Request, run_id: str, after: int | None) -> int:
    if after is not None:
        return max(0, after)
    run, _, number = request.headers.get("last-event-id", "").rpartition(":")
    return int(number) if run == run_id and _SEQ.fullmatch(number) else 0


async def _expired(services: Services, caller: Viewer, run_id: str) -> Response:
    stored = await services.experiences.get(run_id)
    if stored is None:
        raise Problem(404, f"there is no run {run_id!r}")
    check_owner(caller, await services.sessions.get(stored.session))
    body = msgspec.json.decode(problem_body(410, "the run can no longer be resumed"))
    body |= {"reply": stored.response, "message_id": reply_id(run_id), "run": run_id}
    return Response(msgspec.json.encode(body), 410, media_type="application/problem+json")
