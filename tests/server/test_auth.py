"""Who may do what: tokens, tickets, overlay keys, and pages from elsewhere."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tests.server.wire import PATIENT, SECRET, assert_problem, bearer, receive, say, token
from tests.serving import Running, running, settings_for
from understudy.server import auth

OWNER = bearer("olga", "owner")
MODERATOR = bearer("max", "moderator")
ANA = bearer("ana")
BEN = bearer("ben")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A server that asks for tokens, for all tests here."""
    folder = tmp_path_factory.mktemp("guarded")
    settings = settings_for(folder, auth__required=True, auth__secret=SECRET, **PATIENT)
    async with running(settings) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A server on loopback without tokens, for all tests here."""
    async with running(settings_for(tmp_path_factory.mktemp("open"), **PATIENT)) as server:
        yield server


def forged(**changes: Any) -> str:
    """A token that is signed rightly but for `changes` to its claims, key or algorithm."""
    key = changes.pop("key", SECRET)
    algorithm = changes.pop("algorithm", "HS256")
    claims = {"sub": "eve", "role": "owner", "exp": 4_000_000_000} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm)


BAD_TOKENS = {
    "expired": token("eve", "owner", minutes=-1),
    "another secret": forged(key="another secret that is just as long as the first"),
    "no signature": forged(key="", algorithm="none"),
    "another algorithm": forged(key=SECRET * 2, algorithm="HS512"),
    "no expiry": forged(exp=None),
    "no subject": forged(sub=None),
    "unknown role": forged(role="root"),
    "role of a wrong type": forged(role=["owner"]),
    "cut off": token("eve", "owner")[:-1],
    "empty parts": "..",
    "not a token": "x" * 5_000,
}


async def test_a_bad_token_is_refused(guarded: Running) -> None:
    for name, bad in BAD_TOKENS.items():
        headers = {"Authorization": f"Bearer {bad}"}
        response = await guarded.http.get("/personas", headers=headers)
        detail = assert_problem(response, 401, "token")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert bad[:40] not in detail or name == "empty parts"


async def test_without_a_token_nothing_is_told(guarded: Running) -> None:
    for header in (None, "", "Bearer", "Basic b2xnYTpwdw==", f"Token {token('a', 'owner')}"):
        headers = {} if header is None else {"Authorization": header}
        for method, path in (
            ("GET", "/personas"),
            ("GET", "/metrics"),
            ("GET", "/api/v1/status"),
            ("POST", "/chat"),
            ("POST", "/ws/ticket"),
            ("GET", "/chat/sessions/test1"),
            ("PUT", "/personas/pirate"),
            ("DELETE", "/api/v1/overlay-keys/x"),
        ):
            response = await guarded.http.request(method, path, headers=headers)
            assert_problem(response, 401, "Authorization: Bearer")
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_pages_and_probes_need_no_token(guarded: Running) -> None:
    for path in ("/healthz", "/readyz", "/", "/try"):
        assert (await guarded.http.get(path)).status_code == 200


async def test_each_role_reaches_what_is_below_it(guarded: Running) -> None:
    persona = {"system_prompt": "You are a pirate."}
    key = {"label": "obs"}
    matrix: list[tuple[str, str, dict[str, str] | None, list[int]]] = [
        # (method, path, body, status for viewer, moderator, owner)
        ("GET", "/personas", None, [200, 200, 200]),
        ("GET", "/metrics", None, [200, 200, 200]),
        ("POST", "/chat/start", {"user_id": "x"}, [200, 200, 200]),
        ("GET", "/api/v1/status", None, [403, 200, 200]),
        ("GET", "/api/v1/messages", None, [403, 200, 200]),
        ("POST", "/api/v1/actions/unmute", None, [403, 200, 200]),
        ("PUT", "/personas/pirate", persona, [403, 403, 200]),
        ("POST", "/api/v1/overlay-keys", key, [403, 403, 201]),
        ("GET", "/api/v1/overlay-keys", None, [403, 403, 200]),
    ]
    for method, path, body, expected in matrix:
        for headers, status in zip((ANA, MODERATOR, OWNER), expected, strict=True):
            response = await guarded.http.request(method, path, json=body, headers=headers)
            assert response.status_code == status, (method, path, response.text)
            if status == 403:
                assert_problem(response, 403, "role")


async def test_an_overlay_token_cannot_write(guarded: Running) -> None:
    overlay = bearer("obs", "overlay")
    response = await guarded.http.post("/chat/start", json={"user_id": "x"}, headers=overlay)
    assert_problem(response, 403, "viewer")
    for path in ("/ws", "/ws/chat", "/ws/chat/auth"):
        url = f"{guarded.socket_url}{path}?token={token('obs', 'overlay')}"
        await turned_away(url)


async def test_viewers_reach_only_their_own_sessions(guarded: Running) -> None:
    http = guarded.http
    start = await http.post("/chat/start", json={"user_id": "olga"}, headers=ANA)
    session = start.json()["session_id"]
    body = {"session_id": session, "message": "a secret of mine"}
    stream = await http.post("/chat/stream", json=body, headers=ANA)
    run = stream.headers["X-Run-Id"]
    whole = {"session_id": session, "user": "ana", "message": "hi"}
    attempts = [
        await http.get(f"/chat/sessions/{session}", headers=BEN),
        await http.delete(f"/chat/sessions/{session}", headers=BEN),
        await http.post("/chat/stream", json=body, headers=BEN),
        await http.post("/chat/message", json=body, headers=BEN),
        await http.post("/chat", json=whole, headers=BEN),
        await http.get(f"/chat/runs/{run}?after=0", headers=BEN),
        await http.post(f"/chat/runs/{run}/stop", headers=BEN),
    ]
    for response in attempts:
        assert_problem(response, 404)
        assert "secret" not in response.text
    history = (await http.get(f"/chat/sessions/{session}", headers=ANA)).json()
    # What a viewer says goes under their own name, whatever they claim.
    assert history["user"] == "ana"
    assert history["messages"][0]["user"] == "ana"
    assert len(history["messages"]) == 2
    seen = await http.get(f"/chat/sessions/{session}", headers=MODERATOR)
    assert seen.status_code == 200


async def test_strangers_cannot_use_up_the_limit_of_a_session(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, auth__required=True, auth__secret=SECRET, limits__per_session=6
    )
    async with running(settings) as server:
        mine = {"session_id": "guessable", "user": "ana", "message": "hi"}
        assert (await server.http.post("/chat", json=mine, headers=ANA)).status_code == 200
        for _ in range(5):
            stolen = await server.http.post("/chat", json=mine, headers=BEN)
            assert_problem(stolen, 404)
        assert (await server.http.post("/chat", json=mine, headers=ANA)).status_code == 200


async def test_an_expired_run_is_not_told_to_others(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET, server__run_ttl=0)
    async with running(settings) as server:
        start = await server.http.post("/chat/start", json={"user_id": "ana"}, headers=ANA)
        body = {"session_id": start.json()["session_id"], "message": "hi"}
        stream = await server.http.post("/chat/stream", json=body, headers=ANA)
        path = f"/chat/runs/{stream.headers['X-Run-Id']}"
        assert_problem(await server.http.get(path, headers=BEN), 404)
        assert_problem(await server.http.get(path, headers=ANA), 410)


SOCKETS = ("/ws", "/ws/chat", "/ws/chat/auth", "/ws/live")


async def turned_away(url: str) -> str:
    """Open a socket that is closed at once for its token; the reason it gives."""
    async with connect(url) as socket:
        with pytest.raises(ConnectionClosed):
            await receive(socket)
    assert socket.close_code == 4401
    assert socket.close_reason
    return socket.close_reason


async def test_sockets_take_a_token_in_the_address(guarded: Running) -> None:
    for path in SOCKETS:
        good = f"{guarded.socket_url}{path}?token={token('max', 'moderator')}"
        async with connect(good) as socket:
            if path == "/ws":
                frame = {"session_id": "s", "user": "max", "message": "hi"}
                assert (await say(socket, frame))["reply"]
            else:
                assert (await receive(socket))["type"] in {"system", "snapshot"}


async def test_sockets_close_with_4401_on_a_bad_token(guarded: Running) -> None:
    queries = ["", "?token=", "?ticket=none", *(f"?token={bad}" for bad in BAD_TOKENS.values())]
    for path in SOCKETS:
        for query in queries:
            await turned_away(f"{guarded.socket_url}{path}{query}")


async def test_the_live_feed_is_for_moderators(guarded: Running) -> None:
    reason = await turned_away(f"{guarded.socket_url}/ws/live?token={token('ana')}")
    assert "moderator" in reason


async def test_the_authenticated_socket_asks_for_a_token_even_on_loopback(
    tmp_path: Path,
) -> None:
    """With a token of this machine's own secret it works before anything was set up."""
    settings = settings_for(tmp_path)
    made = auth.issue_token(auth.load_secret(settings), "ana", "viewer", timedelta(minutes=5))
    async with running(settings) as server:
        async with connect(f"{server.socket_url}/ws/chat/auth?token={made}") as socket:
            assert (await receive(socket))["type"] == "system"
        for bad in ("", "?token=nonsense", f"?token={forged(key='x' * 32)}"):
            await turned_away(f"{server.socket_url}/ws/chat/auth{bad}")


async def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, auth__required=True)) as server:
        path = tmp_path / "auth.secret"
        assert path.stat().st_mode & 0o777 == 0o600
        made = auth.issue_token(path.read_text(), "olga", "owner", timedelta(minutes=1))
        headers = {"Authorization": f"Bearer {made}"}
        assert (await server.http.get("/personas", headers=headers)).status_code == 200
    before = path.read_text()
    async with running(settings_for(tmp_path, auth__required=True)):
        assert path.read_text() == before


async def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(auth.AuthError, match="at least 32"):
        auth.load_secret(settings_for(tmp_path, auth__secret="short"))


async def test_a_ticket_opens_one_socket(guarded: Running) -> None:
    ticket = (await guarded.http.post("/ws/ticket", headers=ANA)).json()["ticket"]
    url = f"{guarded.socket_url}/ws/chat/auth?ticket={ticket}"
    async with connect(url) as socket:
        assert (await receive(socket))["type"] == "system"
    await turned_away(url)


async def test_only_one_of_many_takers_gets_a_ticket(guarded: Running) -> None:
    ticket = (await guarded.http.post("/ws/ticket", headers=ANA)).json()["ticket"]
    results = await asyncio.gather(
        *(guarded.http.get(f"/personas?ticket={ticket}") for _ in range(8))
    )
    assert sorted(result.status_code for result in results) == [200] + 7 * [401]


async def test_a_ticket_expires(guarded: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "TICKET_SECONDS", -1)
    ticket = (await guarded.http.post("/ws/ticket", headers=ANA)).json()["ticket"]
    assert_problem(await guarded.http.get(f"/personas?ticket={ticket}"), 401, "expired")


async def test_tickets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_TICKETS", 3)
    tickets = auth.Tickets()
    first, *others = [tickets.issue(auth.LOCAL_OWNER) for _ in range(4)]
    with pytest.raises(auth.AuthError):
        tickets.redeem(first)
    assert [tickets.redeem(ticket) for ticket in others] == 3 * [auth.LOCAL_OWNER]


async def test_a_run_is_resumed_with_a_ticket(guarded: Running) -> None:
    http = guarded.http
    start = await http.post("/chat/start", json={"user_id": "ana"}, headers=ANA)
    body = {"session_id": start.json()["session_id"], "message": "hi"}
    first = await http.post("/chat/stream", json=body, headers=ANA)
    ticket = (await http.post("/ws/ticket", headers=ANA)).json()["ticket"]
    path = f"/chat/runs/{first.headers['X-Run-Id']}?after=0&ticket={ticket}"
    assert (await http.get(path)).text == first.text


async def test_an_overlay_key_opens_its_overlay_until_it_is_revoked(guarded: Running) -> None:
    http = guarded.http
    body = {"overlay": "chat", "label": "the stream PC"}
    made = (await http.post("/api/v1/overlay-keys", json=body, headers=OWNER)).json()
    listed = (await http.get("/api/v1/overlay-keys", headers=OWNER)).json()["keys"]
    (found,) = (key for key in listed if key["id"] == made["id"])
    assert (found["label"], found["revoked"]) == ("the stream PC", None)
    assert made["key"] not in str(listed)
    url = f"{guarded.socket_url}/ws/overlay/chat?key={made['key']}"
    async with connect(url) as socket:
        assert (await receive(socket))["type"] == "snapshot"
    revoke = f"/api/v1/overlay-keys/{made['id']}"
    assert (await http.delete(revoke, headers=OWNER)).status_code == 204
    assert_problem(await http.delete(revoke, headers=OWNER), 404)
    await turned_away(url)


async def test_a_key_opens_no_other_overlay(guarded: Running) -> None:
    made = await guarded.http.post("/api/v1/overlay-keys", json={}, headers=OWNER)
    for name in ("avatar", "chat%00", "..", "chat2"):
        await turned_away(f"{guarded.socket_url}/ws/overlay/{name}?key={made.json()['key']}")


async def test_an_overlay_may_be_watched_with_a_token_of_any_role(guarded: Running) -> None:
    for role in ("overlay", "viewer", "owner"):
        url = f"{guarded.socket_url}/ws/overlay/chat?token={token('obs', role)}"
        async with connect(url) as socket:
            assert (await receive(socket))["type"] == "snapshot"
    await turned_away(f"{guarded.socket_url}/ws/overlay/chat?token=nonsense")


async def test_an_overlay_key_opens_nothing_else(guarded: Running) -> None:
    made = await guarded.http.post("/api/v1/overlay-keys", json={}, headers=OWNER)
    key = made.json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert_problem(await guarded.http.get("/personas", headers=headers), 401)
    assert_problem(await guarded.http.get(f"/personas?key={key}"), 401)
    await turned_away(f"{guarded.socket_url}/ws/live?key={key}")


async def test_tokens_stay_out_of_logs_and_errors(
    guarded: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """At the levels the server runs with: uvicorn logs addresses at INFO, which it must not."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    secrets = [token("ana"), BAD_TOKENS["another secret"], "x" * 40]
    with every_uvicorn_logger(caplog.handler):
        for secret in secrets:
            headers = {"Authorization": f"Bearer {secret}"}
            told.append((await guarded.http.get("/nowhere", headers=headers)).text)
            told.append((await guarded.http.get(f"/personas?ticket={secret}")).text)
            for kind in ("token", "ticket", "key"):
                for path in ("/ws/chat/auth", "/ws/overlay/chat", "/ws/live", "/ws/nowhere"):
                    told.append(await first_words(f"{guarded.socket_url}{path}?{kind}={secret}"))
    own = [record for record in caplog.records if not record.name.startswith(("client", "http"))]
    told += [record.getMessage() for record in own]
    assert not [text for text in told if any(secret in text for secret in secrets)]


async def first_words(url: str) -> str:
    """What a socket says first, or how it refuses."""
    try:
        async with connect(url, logger=logging.getLogger("client")) as socket:
            return str(await receive(socket))
    except (ConnectionClosed, InvalidStatus) as error:
        return str(error)


@contextmanager
def every_uvicorn_logger(handler: logging.Handler) -> Iterator[None]:
    loggers = [logging.getLogger(f"uvicorn{part}") for part in ("", ".error", ".access", ".asgi")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


async def assert_closed(socket: ClientConnection, code: int, reason: str) -> None:
    """The server says nothing on the socket but why it closes it."""
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert reason in closed.value.rcvd.reason


async def test_a_rebound_name_reaches_nothing(server: Running) -> None:
    """A page on the Web can point its own name at 127.0.0.1 and call it as its own origin."""
    body = {"user_id": "eve"}
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]", "a:b:c"):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert_problem(await server.http.get("/personas", headers={"Host": host}), 403, "127.0.0.1")
        assert_problem(await server.http.post("/chat/start", json=body, headers=headers), 403)


async def test_a_rebound_name_opens_no_socket(server: Running) -> None:
    for path in ("/ws", "/ws/chat", "/ws/live", "/ws/overlay/chat"):
        socket = await connect(
            "ws://evil.example" + path,
            host="127.0.0.1",
            port=int(server.url.rpartition(":")[2]),
        )
        await assert_closed(socket, 4403, "127.0.0.1")


async def test_a_foreign_page_may_not_write(server: Running) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "x"):
        headers = {"Origin": origin}
        response = await server.http.post("/chat/start", json={"user_id": "e"}, headers=headers)
        assert_problem(response, 403, "server.cors_origins")
        # The body of a form needs no preflight.
        form = await server.http.post("/api/v1/actions/panic", content="", headers=headers)
        assert_problem(form, 403)
        assert server.application.services.channels.muted is False
        for path in ("/ws", "/ws/chat", "/ws/live"):
            socket = await connect(f"{server.socket_url}{path}", origin=Origin(origin))
            await assert_closed(socket, 4403, "server.cors_origins")


async def test_a_foreign_page_cannot_read(server: Running) -> None:
    response = await server.http.get("/personas", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers
    preflight = await server.http.options(
        "/chat/start",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code >= 400
    assert "access-control-allow-origin" not in preflight.headers


async def test_own_pages_may_write(server: Running) -> None:
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        headers = {"Host": url.removeprefix("http://"), "Origin": url}
        response = await server.http.post("/chat/start", json={"user_id": "e"}, headers=headers)
        assert response.status_code == 200


async def test_allowed_origins_pass_the_preflight_and_others_do_not(tmp_path: Path) -> None:
    friend = "https://friend.example"
    async with running(settings_for(tmp_path, server__cors_origins=[friend])) as server:
        ask = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,authorization,last-event-id",
        }
        allowed = await server.http.options("/chat/stream", headers={"Origin": friend, **ask})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == friend
        assert "POST" in allowed.headers["access-control-allow-methods"]
        other = {"Origin": "https://evil.example", **ask}
        refused = await server.http.options("/chat/stream", headers=other)
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers

        body = {"user_id": "friend"}
        answer = await server.http.post("/chat/start", json=body, headers={"Origin": friend})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == friend
        # Errors must be readable for the page too.
        wrong = await server.http.post("/chat/start", json={}, headers={"Origin": friend})
        assert_problem(wrong, 422)
        assert wrong.headers["access-control-allow-origin"] == friend
        async with connect(f"{server.socket_url}/ws/chat", origin=Origin(friend)) as socket:
            assert (await receive(socket))["type"] == "system"


@pytest.mark.parametrize("content", [b"", b"cut off", b"\xff\xfe\x00"])
async def test_a_damaged_secret_is_told_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "auth.secret"
    path.write_bytes(content)
    with pytest.raises(auth.AuthError, match="holds no secret: delete it"):
        auth.load_secret(settings_for(tmp_path))
    assert path.read_bytes() == content


async def test_peers_that_hang_up_while_being_refused_leave_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handshake = (
        b"GET /ws/overlay/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    )
    settings = settings_for(tmp_path, limits__per_address=6, limits__burst=1)
    async with running(settings) as server:
        for _ in range(30):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", int(server.url.rpartition(":")[2])
            )
            writer.write(handshake)
            writer.write_eof()
            writer.close()
            await writer.wait_closed()
        late = await connect(f"{server.socket_url}/ws/overlay/chat")
        await assert_closed(late, 4429, "wait")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
