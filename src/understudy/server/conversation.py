"""A message of one person in a session of their own, however it arrived.

Owns what the HTTP routes and the sockets share: the length check, the limit per session, finding
the session, and starting its turn.
"""

from understudy.engine.runs import ErrorFrame, Run
from understudy.engine.turn import TurnRequest
from understudy.events import Reply, Role
from understudy.server.access import check_owner, too_many, user_of
from understudy.server.auth import Principal
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.storage.sessions import SessionRow


def check_message(services: Services, message: str) -> None:
    """Raise `Problem` 422 for a message that is too long or blank."""
    limit = services.settings.limits.message_chars
    if len(message) > limit:
        raise Problem(422, f"message is longer than {limit} characters: send less at once")
    if not message.strip():
        raise Problem(422, "message is blank: send some text")


def check_session_limit(services: Services, session: str) -> None:
    """Take from the bucket of a session; raises `Problem` 429.

    Call it for callers who may use the session, or strangers could empty its bucket.
    """
    wait = services.limits.session.take(session)
    if wait > 0:
        raise too_many("in this session", wait)


async def open_session(
    services: Services, principal: Principal, session: str, user: str
) -> SessionRow:
    """The session with this id, created for `user` when it is unknown."""
    row = await services.sessions.get_or_create(
        session, user_of(principal, user), services.settings.persona.default
    )
    return check_owner(principal, row)


async def start_turn(
    services: Services,
    session: SessionRow,
    message: str,
    *,
    user: str = "",
    role: Role = "viewer",
    client: str = "",
    grace: float | None = None,
) -> Run:
    """Begin the answer to `message`; `client` is whose saved context goes with it."""
    return await services.turns.start(
        TurnRequest(
            session=session.id,
            user=user or session.user,
            text=message,
            role=role,
            persona=session.persona,
            client_context=await services.contexts.get(client or session.id),
            grace=grace,
        )
    )


async def whole_reply(run: Run) -> tuple[Reply, str | None]:
    """The finished reply and its message id; raises `Problem` when it failed.

    The id is None when the reply could not be stored.
    """
    await run.ended.wait()
    if run.reply is None:
        raise Problem(500, "the answer could not be concluded: see the server's log")
    reply = run.reply
    end = run.log.after(run.log.last_seq - 1)[-1][1]
    if isinstance(end, ErrorFrame):
        raise Problem(502, end.error, headers={"Retry-After": "1"} if end.retryable else None)
    return reply, getattr(end, "message_id", None)
