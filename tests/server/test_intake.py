"""`/api/v1/intake` and `/ws/intake` over a real server: fates, roles, limits, and the archive."""

import asyncio

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.server.wire import SECRET, assert_problem, bearer, receive, say, token
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.safety.limits import RateLimiter

INTAKE = "/api/v1/intake"
HI = {"platform": "tiktok", "channel": "ana", "user": "kim", "text": "hi", "id": "m1"}


async def archived(server: Running) -> list[tuple[str, str, bool]]:
    """The stored messages: user, text, whether deleted."""
    await server.application.services.bus.drained()
    await server.application.services.log.flushed()
    page = (await server.http.get("/api/v1/messages?channel=ana")).json()["messages"]
    return [(message["user"], message["text"], message["deleted"]) for message in page]


async def test_a_message_goes_all_the_way(server: Running) -> None:
    answer = await server.http.post(INTAKE, json=HI)
    assert answer.status_code == 200
    assert answer.json() == {
        "accepted": 1,
        "repeated": 0,
        "refused": 0,
        "items": [{"status": "accepted", "id": "m1"}],
    }
    assert await archived(server) == [("kim", "hi", False)]
    assert server.application.services.channels.names() == ["ana"]


async def test_a_question_to_the_cohost_is_answered(server: Running) -> None:
    cohost = server.application.settings.persona.name
    await server.http.post(INTAKE, json=HI | {"text": f"{cohost}, what do you think of cats?"})
    log = server.application.services.log

    async def decision() -> dict[str, str]:
        await log.flushed()
        (message,) = (await server.http.get("/api/v1/messages")).json()["messages"]
        return message["decision"] or {}

    await until(lambda: server.application.services.turns.active == 0)
    await server.application.services.bus.drained()
    assert (await decision())["action"] == "answered"


async def test_each_item_has_its_fate(server: Running) -> None:
    lines = b'{"channel":"ana","user":"kim","text":"one","id":"1"}\noops\n{"channel":"ana"}\n'
    answer = await server.http.post(INTAKE, content=lines)
    assert [item["status"] for item in answer.json()["items"]] == ["accepted", "refused", "refused"]
    again = await server.http.post(INTAKE, json=[HI | {"id": 1}, HI | {"id": "2", "text": "two"}])
    assert [item["status"] for item in again.json()["items"]] == ["repeated", "accepted"]
    assert [text for _, text, _ in await archived(server)] == ["one", "two"]


async def test_a_deletion_reaches_the_archive(server: Running) -> None:
    await server.http.post(INTAKE, json=[HI, {"type": "delete", "channel": "ana", "id": "m1"}])
    assert await archived(server) == [("kim", "hi", True)]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 60_000])
async def test_a_body_that_is_no_json(server: Running, body: bytes) -> None:
    assert_problem(await server.http.post(INTAKE, content=body), 422)


async def test_a_body_that_is_too_large(server: Running) -> None:
    assert_problem(await server.http.post(INTAKE, content=b" " * 70_000), 413)


async def test_a_socket_answers_each_frame(server: Running) -> None:
    async with connect(f"{server.socket_url}/ws/intake") as socket:
        first = await say(socket, HI)
        assert first["type"] == "fates"
        assert first["items"] == [{"status": "accepted", "id": "m1"}]
        assert (await say(socket, [HI, HI | {"id": "m2"}]))["repeated"] == 1
        await socket.send(b'{"channel":"ana","user":"bo","text":"in bytes"}')
        assert (await receive(socket))["accepted"] == 1
        for empty in ("", b"", "{"):
            await socket.send(empty)
            assert (await receive(socket))["type"] == "error"
        await socket.send(" " * 70_000)
        assert "larger than 65536 bytes" in (await receive(socket))["message"]
        assert (await say(socket, HI | {"id": "m3"}))["accepted"] == 1
    gauge = server.application.services.metrics.sockets.labels("/ws/intake")
    await until(lambda: gauge._value.get() == 0)
    assert len(await archived(server)) == 4


async def test_frames_sent_at_once_are_all_answered_in_order(server: Running) -> None:
    async with connect(f"{server.socket_url}/ws/intake") as socket:
        for number in range(300):
            await socket.send(msgspec.json.encode(HI | {"id": str(number)}).decode())
        ids = [(await receive(socket))["items"][0]["id"] for _ in range(300)]
    assert ids == [str(number) for number in range(300)]
    assert len(await archived(server)) == 100, "a page"


async def test_the_socket_is_closed_when_the_server_stops(server: Running) -> None:
    async with connect(f"{server.socket_url}/ws/intake") as socket:
        assert (await say(socket, HI))["accepted"] == 1
        server.process.should_exit = True
        with pytest.raises(ConnectionClosed):
            await receive(socket)
    async with asyncio.timeout(10):
        await server.serving


async def test_only_moderators_hand_in_events(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = settings_for(
        tmp_path_factory.mktemp("secured"), auth__required=True, auth__secret=SECRET
    )
    async with running(settings) as server:
        post = server.http.post
        assert_problem(await post(INTAKE, json=HI), 401)
        assert_problem(await post(INTAKE, json=HI, headers=bearer(role="viewer")), 403)
        moderator = bearer("mo", "moderator")
        claim = HI | {"role": "streamer"}
        assert (await post(INTAKE, json=claim, headers=moderator)).json()["accepted"] == 1
        await server.application.services.bus.drained()
        await server.application.services.log.flushed()
        page = await server.http.get("/api/v1/messages", headers=moderator)
        assert [message["role"] for message in page.json()["messages"]] == ["moderator"]

        ticket = (await post("/ws/ticket", headers=moderator)).json()["ticket"]
        url = f"{server.socket_url}/ws/intake"
        async with connect(f"{url}?ticket={ticket}") as socket:
            assert (await say(socket, HI | {"id": "m2"}))["accepted"] == 1
        for query in ("", f"?ticket={ticket}", f"?token={token(role='viewer')}", "?token=x"):
            with pytest.raises(ConnectionClosed) as closed:
                async with connect(url + query) as socket:
                    await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


async def test_a_flood_is_answered_with_429(server: Running) -> None:
    batch = [HI | {"id": number} for number in range(500)]
    server.application.services.intake._limiter = RateLimiter(60)
    first = (await server.http.post(INTAKE, json=batch)).json()
    assert first["accepted"] >= 20
    assert first["refused"] == 500 - first["accepted"] > 0
    server.application.services.intake._limiter = RateLimiter(1)
    await server.http.post(INTAKE, json=batch[0])
    refused = await server.http.post(INTAKE, json=batch[-1])
    assert_problem(refused, 429, "wait")
    assert int(refused.headers["retry-after"]) >= 1
