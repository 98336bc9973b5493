"""FastAPI dependencies: who calls, and may they.

Turns a request or a socket into a `Principal`, checks its role, and takes from the token's bucket.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, WebSocket
from fastapi.requests import HTTPConnection

from understudy.events import Role
from understudy.server.auth import LOCAL_OWNER, AuthError, Principal, UserRole, verify_token
from understudy.server.problems import Problem
from understudy.server.services import Services, services_of
from understudy.storage.sessions import SessionRow


async def _services(connection: HTTPConnection) -> Services:
    # A dependency that is no coroutine would be called in a thread.
    return services_of(connection)


ServicesDep = Annotated[Services, Depends(_services)]


def identify(request: Request, services: Services) -> Principal:
    """The caller of a request; raises `Problem` 401 or 429."""
    if not services.settings.auth_required:
        return LOCAL_OWNER
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    ticket = request.query_params.get("ticket")
    try:
        if scheme.lower() == "bearer" and token:
            principal = verify_token(services.secret, token.strip())
        elif ticket:
            principal = services.tickets.redeem(ticket)
        else:
            raise AuthError("this server asks for a token: send `Authorization: Bearer …`")
    except AuthError as error:
        raise Problem(401, str(error), headers={"WWW-Authenticate": "Bearer"}) from None
    check_token_limit(services, principal)
    return principal


def require(role: UserRole) -> Callable[[Request, Services], Awaitable[Principal]]:
    """A dependency that lets callers of at least `role` through."""

    async def dependency(request: Request, services: ServicesDep) -> Principal:
        principal = identify(request, services)
        if not principal.may(role):
            raise Problem(403, f"this needs the role {role}: your token has {principal.role}")
        return principal

    return dependency


Viewer = Annotated[Principal, Depends(require("viewer"))]
Moderator = Annotated[Principal, Depends(require("moderator"))]
Owner = Annotated[Principal, Depends(require("owner"))]


def identify_socket(socket: WebSocket, services: Services, role: UserRole) -> Principal | None:
    """The caller of a socket by `?token=` or `?ticket=`; None when neither is given.

    Raises `AuthError` when one is given and not accepted, or does not have at least `role`.
    """
    token, ticket = socket.query_params.get("token"), socket.query_params.get("ticket")
    if ticket:
        principal = services.tickets.redeem(ticket)
    elif token:
        principal = verify_token(services.secret, token)
    else:
        return None
    if not principal.may(role):
        raise AuthError(f"this needs the role {role}: your token has {principal.role}")
    return principal


def check_token_limit(services: Services, principal: Principal) -> None:
    """Take from the bucket of the caller's token, if there is one; raises `Problem` 429."""
    wait = services.limits.token.take(principal.token) if principal.token else 0
    if wait > 0:
        raise too_many("with this token", wait)


def check_owner(principal: Principal, session: SessionRow) -> SessionRow:
    """`session`, if the caller may use it: viewers only reach their own."""
    if principal.may("moderator") or session.user == principal.user:
        return session
    raise Problem(404, f"there is no session {session.id!r}: start one at /chat/start")


def user_of(principal: Principal, claimed: str) -> str:
    """The user a message is stored under: what the caller says, but viewers are who they are."""
    return claimed if principal.may("moderator") else principal.user


def standing_of(principal: Principal, user: str) -> Role:
    """The standing of someone who speaks through the API as `user`.

    Whoever relays the words of others, as bots do, lends them no rights.
    """
    if user != principal.user:
        return "viewer"
    match principal.role:
        case "owner":
            return "streamer"
        case "moderator":
            return "moderator"
        case _:
            return "viewer"


def too_many(where: str, wait: float) -> Problem:
    """429 with `Retry-After`."""
    seconds = str(int(wait) + 1)
    return Problem(
        429, f"too many requests {where}: wait {seconds} s", headers={"Retry-After": seconds}
    )
