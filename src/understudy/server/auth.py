"""Who is calling and what they may do.

Owns bearer tokens (JWT, HS256: `sub`, `role`, `exp`), single-use tickets for sockets, and the
secret they are signed with. Overlay keys live in `storage.overlay_keys`. Does not own limits.
"""

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import jwt
import msgspec

from understudy.config import Settings

UserRole = Literal["owner", "moderator", "viewer", "overlay"]
"""What a caller may do, from everything to watching one overlay."""

RANK: dict[str, int] = {role: rank for rank, role in enumerate(reversed(get_args(UserRole)))}
TICKET_SECONDS = 30
MAX_TICKETS = 10_000
MIN_SECRET = 32
_EXPIRED = "the token has expired: make a new one with `understudy token`"
_ALGORITHM = "HS256"
# Partly untyped: PyJWT's other algorithms need `cryptography`, which HS256 does without.
_encode = cast(Callable[..., str], jwt.encode)  # pyright: ignore[reportUnknownMemberType]
_decode = cast(Callable[..., dict[str, Any]], jwt.decode)  # pyright: ignore[reportUnknownMemberType]


class AuthError(Exception):
    """A token or ticket is not accepted; the message is one sentence."""


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller. `token` identifies the token for limits; empty when auth is off."""

    user: str
    role: UserRole
    token: str = ""

    def may(self, role: UserRole) -> bool:
        """Whether the caller has at least this role."""
        return RANK[self.role] >= RANK[role]


LOCAL_OWNER = Principal("local", "owner")
"""The caller when auth is off: whoever sits at this machine."""


def load_secret(settings: Settings) -> str:
    """The signing secret: from the settings, else from the data directory, made on first use.

    Raises `AuthError` when it is too short to be safe.
    """
    configured = settings.auth.secret.get_secret_value()
    if configured:
        if len(configured) < MIN_SECRET:
            raise AuthError(f"auth.secret is too short: use at least {MIN_SECRET} characters")
        return configured
    path = settings.data_dir / "auth.secret"
    if not path.is_file():
        return _create_secret(path)
    stored = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(stored) < MIN_SECRET:
        raise AuthError(f"{path} holds no secret: delete it, and make new tokens after the start")
    return stored


def _create_secret(path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = secrets.token_urlsafe(48)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)
    return secret


def issue_token(secret: str, user: str, role: UserRole, ttl: timedelta) -> str:
    """A signed bearer token for `user`, valid for `ttl`."""
    claims = {"sub": user, "role": role, "exp": datetime.now(UTC) + ttl}
    return _encode(claims, secret, algorithm=_ALGORITHM)


def verify_token(secret: str, token: str) -> Principal:
    """The caller a token stands for; raises `AuthError`."""
    principal, expires = _verified(secret, token)
    if expires <= time.time():
        raise AuthError(_EXPIRED)
    return principal


# Checking a signature costs more than anything else a small request asks for.
@lru_cache(maxsize=1024)
def _verified(secret: str, token: str) -> tuple[Principal, int]:
    """The caller, and until when the token is valid (seconds since 1970)."""
    try:
        claims = _decode(
            token, secret, algorithms=[_ALGORITHM], options={"require": ["sub", "role", "exp"]}
        )
    except jwt.ExpiredSignatureError:
        raise AuthError(_EXPIRED) from None
    except jwt.InvalidTokenError:
        raise AuthError("the token is not valid: make one with `understudy token`") from None
    if claims["role"] not in list(RANK):  # it may be anything, even unhashable
        raise AuthError("the token names an unknown role: make one with `understudy token`")
    # The signature tells tokens apart without keeping the token itself.
    principal = Principal(str(claims["sub"]), claims["role"], token.rpartition(".")[2])
    return principal, int(claims["exp"])


class Tickets:
    """Single-use tickets that stand for a caller for 30 seconds.

    Browsers cannot send headers with a WebSocket, and a token in a URL ends in logs.
    """

    def __init__(self) -> None:
        self._tickets: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def issue(self, principal: Principal) -> str:
        """A fresh ticket for `principal`."""
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = (principal, time.monotonic() + TICKET_SECONDS)
        if len(self._tickets) > MAX_TICKETS:
            self._tickets.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> Principal:
        """The caller the ticket stands for; it cannot be used again. Raises `AuthError`."""
        entry = self._tickets.pop(ticket, None)
        if entry is None or entry[1] < time.monotonic():
            raise AuthError("the ticket is used up or expired: get a new one at /ws/ticket")
        return entry[0]
