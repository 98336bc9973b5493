"""What the server tests share: problem documents, sockets, and waiting for a condition."""

import asyncio
import socket as sockets
from datetime import timedelta
from typing import Any

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection

from understudy.server.auth import UserRole, issue_token

PATIENT = {f"limits__per_{what}": 1e9 for what in ("address", "session", "token")}
"""Settings without rate limits to speak of."""
SECRET = "a secret for tests that is long enough to sign with"


def bearer(user: str = "ana", role: UserRole = "viewer", minutes: int = 60) -> dict[str, str]:
    """The header of a token for `user`."""
    return {"Authorization": f"Bearer {token(user, role, minutes)}"}


def token(user: str = "ana", role: UserRole = "viewer", minutes: int = 60) -> str:
    """A token for `user` that outlives the tests; an expired one when `minutes` is negative."""
    return issue_token(SECRET, user, role, timedelta(minutes=minutes))


def assert_problem(response: httpx2.Response, status: int | set[int], *words: str) -> str:
    """Check that `response` is a problem document of one sentence with `words`; return that."""
    allowed = status if isinstance(status, set) else {status}
    assert response.status_code in allowed, (response.status_code, response.text[:300])
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert {"type", "title", "status", "detail"} <= set(document)
    assert document["status"] == response.status_code
    detail = document["detail"]
    assert len(detail.split()) >= 3, f"{detail!r} helps nobody"
    assert "\n" not in detail
    assert "Traceback" not in detail
    for word in words:
        assert word in detail
    return detail


async def receive(socket: ClientConnection, within: float = 10) -> dict[str, Any]:
    """The next JSON frame."""
    async with asyncio.timeout(within):
        return msgspec.json.decode(await socket.recv())


async def say(socket: ClientConnection, frame: object) -> dict[str, Any]:
    """Send a JSON frame and return the next one that comes."""
    await socket.send(msgspec.json.encode(frame).decode())
    return await receive(socket)


def deaf_viewer(port: int, path: str = "/ws/live") -> sockets.socket:
    """An open socket at `path` whose side of the connection is never read from."""
    peer = sockets.socket()
    peer.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", port))
    peer.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    return peer
