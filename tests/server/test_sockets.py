"""`/ws` and `/ws/chat` as the source documents' clients use them, and as nobody should."""

import asyncio
import random
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.server.wire import SECRET, receive, say, token
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.engine.commands import COMMANDS


@asynccontextmanager
async def chatting(
    server: Running, path: str = "/ws/chat", **options: Any
) -> AsyncIterator[ClientConnection]:
    """A socket on `/ws/chat` that has been greeted."""
    async with connect(f"{server.socket_url}{path}", **options) as socket:
        assert (await receive(socket))["type"] == "system"
        yield socket


async def command(socket: ClientConnection, text: str) -> dict[str, Any]:
    """Give a command and return its result."""
    frame = await say(socket, {"message": text})
    assert frame["type"] == "command_response", frame
    return frame["result"]


async def test_the_seed_frames_of_ws(server: Running) -> None:
    async with connect(f"{server.socket_url}/ws") as socket:
        frame = {"session_id": "test1", "user": "viewer1", "message": "Hello AI!"}
        answer = await say(socket, frame)
        assert set(answer) == {"session_id", "reply", "message_id"}
        assert answer["session_id"] == "test1"
        again = await say(socket, frame | {"user": "viewer2", "message": "And again?"})
    history = (await server.http.get("/chat/sessions/test1")).json()["messages"]
    assert [(m["role"], m["user"]) for m in history] == [
        ("user", "viewer1"),
        ("assistant", "Understudy"),
        ("user", "viewer2"),
        ("assistant", "Understudy"),
    ]
    assert [m["text"] for m in history[1::2]] == [answer["reply"], again["reply"]]
    assert history[1]["id"] == answer["message_id"]


async def test_a_message_gets_one_message(server: Running) -> None:
    async with chatting(server) as socket:
        answer = await say(socket, {"message": "How's it going?"})
        assert set(answer) == {"type", "content"}
        assert answer["type"] == "message"
        assert answer["content"].strip()


async def test_streamed_tokens_make_the_message(server: Running) -> None:
    async with chatting(server) as socket:
        frames = [await say(socket, {"message": "tell me a joke", "stream": True})]
        while frames[-1]["type"] == "token":
            frames.append(await receive(socket))
        *tokens, last = frames
        assert len(tokens) >= 2
        assert last["type"] == "message"
        assert last["content"] == "".join(token["content"] for token in tokens)


async def test_help_names_every_command(server: Running) -> None:
    async with chatting(server) as socket:
        frame = await say(socket, {"message": "/help"})
        assert set(frame) == {"type", "command", "result"}
        assert frame["command"] == "help"
        assert frame["result"]["status"] == "success"
        assert [c["name"] for c in frame["result"]["commands"]] == [c.name for c in COMMANDS]


async def test_analyze_and_summarize(server: Running) -> None:
    async with chatting(server) as socket:
        result = await command(socket, '/analyze text="I love this \\"game\\", it is great"')
        assert result["status"] == "success"
        assert result["analysis"]["sentiment"] in {"positive", "negative", "neutral", "mixed"}
        assert isinstance(result["analysis"]["key_points"], list)
        await say(socket, {"message": "the lighthouse is haunted"})
        result = await command(socket, "/summarize")
        assert result["status"] == "success"
        assert result["summary"].strip()


async def test_what_the_brain_cannot_do_is_an_honest_error(server: Running) -> None:
    async with chatting(server) as socket:
        result = await command(socket, '/translate text="hello" target_language="Klingon"')
        if result["status"] == "error":
            assert len(result["message"].split()) >= 4
        else:
            assert result["translation"].strip()
        assert (await command(socket, "/help"))["status"] == "success"


async def test_clear_forgets_the_conversation(server: Running) -> None:
    async with chatting(server) as socket:
        await say(socket, {"message": "remember the lighthouse"})
        assert (await command(socket, "/clear"))["status"] == "success"
        result = await command(socket, "/summarize")
        assert "lighthouse" not in result["summary"]


async def test_an_unknown_command_names_the_nearest(server: Running) -> None:
    async with chatting(server) as socket:
        for text, near in (("/sumarize", "/summarize"), ("/trnslate x", "/translate")):
            frame = await say(socket, {"message": text})
            assert set(frame) == {"type", "message"}
            assert frame["type"] == "error"
            assert f"did you mean {near}?" in frame["message"]
        frame = await say(socket, {"message": '/analyze text="not closed'})
        assert frame["type"] == "error"
        assert "not closed" in frame["message"]


async def test_a_doubled_slash_is_said_as_one(server: Running) -> None:
    async with chatting(server) as socket:
        assert (await say(socket, {"message": "//shrug is a command"}))["type"] == "message"
        request = server.application.services.sessions
        session = next(iter(request._rows))
    history = (await server.http.get(f"/chat/sessions/{session}")).json()["messages"]
    assert history[0]["text"] == "/shrug is a command"


async def test_context_belongs_to_one_connection_without_a_token(server: Running) -> None:
    async with chatting(server) as first, chatting(server) as second:
        assert (await command(first, '/setcontext text="I play chess"'))["status"] == "success"
        assert (await command(first, "/getcontext"))["context"] == "I play chess"
        assert (await command(second, "/getcontext"))["context"] == ""


async def test_context_of_a_token_outlives_connection_and_server(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET)
    path, other = (f"/ws/chat/auth?token={token(user)}" for user in ("ana", "ben"))
    async with running(settings) as server:
        async with chatting(server, path) as socket:
            text = 'I play "chess" \\o/ ü'
            quoted = text.replace("\\", "\\\\").replace('"', '\\"')
            assert (await command(socket, f'/setcontext text="{quoted}"'))["context"] == text
        async with chatting(server, path) as socket:
            assert (await command(socket, "/getcontext"))["context"] == text
    async with running(settings) as server:
        async with chatting(server, other) as socket:
            assert (await command(socket, "/getcontext"))["context"] == ""
        async with chatting(server, path) as socket:
            assert (await command(socket, "/getcontext"))["context"] == text
            assert (await command(socket, "/clearcontext"))["status"] == "success"
        async with chatting(server, path) as socket:
            assert (await command(socket, "/getcontext"))["context"] == ""


async def test_a_message_of_a_token_is_stored_under_its_owner(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET)
    async with running(settings) as server:
        async with connect(f"{server.socket_url}/ws?token={token('ana')}") as socket:
            frame = {"session_id": "mine", "user": "olga", "message": "hi"}
            await say(socket, frame)
        async with connect(f"{server.socket_url}/ws?token={token('ben')}") as socket:
            assert (await say(socket, frame))["type"] == "error"
        headers = {"Authorization": f"Bearer {token('ana')}"}
        history = (await server.http.get("/chat/sessions/mine", headers=headers)).json()
        assert history["messages"][0]["user"] == "ana"
        assert len(history["messages"]) == 2


NONSENSE: dict[str, str | bytes] = {
    "not JSON": "hello",
    "empty": "",
    "half": '{"message": "hi"',
    "null": "null",
    "a number": "12",
    "a list": '["message"]',
    "no keys": "{}",
    "a wrong type": '{"message": 5, "session_id": 5, "user": 5}',
    "null message": '{"message": null, "session_id": "s", "user": "u"}',
    "a list of text": '{"message": ["hi"], "session_id": ["s"], "user": ["u"]}',
    "a wrong stream": '{"message": "hi", "stream": "yes"}',
    "a blank message": '{"message": "  \\n\\t", "session_id": "s", "user": "u"}',
    "NUL only": '{"message": "\\u0000", "session_id": "s", "user": "u"}',
    "5,000 characters": msgspec.json.encode(
        {"message": "x" * 5_000, "session_id": "s", "user": "u"}
    ).decode(),
    "1 MB": msgspec.json.encode(
        {"message": "x" * 1_000_000, "session_id": "s", "user": "u"}
    ).decode(),
    "10,000 levels": '{"message": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "10,000 unknown levels": '{"x": ' + '{"x":' * 10_000 + "1" + "}" * 10_001,
    "a huge number": '{"message": ' + "9" * 10_000 + "}",
    "binary": b'{"message": "hi"}',
    "binary rubbish": b"\xff\xfe\x00\x01",
}


@pytest.mark.parametrize("path", ["/ws", "/ws/chat"])
async def test_nonsense_is_answered_with_a_sentence(server: Running, path: str) -> None:
    async with connect(f"{server.socket_url}{path}", max_size=None) as socket:
        if path == "/ws/chat":
            await receive(socket)
        for name, data in NONSENSE.items():
            await socket.send(data)
            frame = await receive(socket)
            assert set(frame) == {"type", "message"}, name
            assert frame["type"] == "error", name
            assert len(frame["message"].split()) >= 3, name
        good = await say(socket, {"session_id": "s", "user": "u", "message": "still there?"})
        assert good.get("reply") or good.get("content")


async def test_a_frame_beyond_the_limit_closes_only_its_own_socket(server: Running) -> None:
    async with chatting(server) as socket, chatting(server) as other:
        await socket.send("x" * 2_000_000)
        with pytest.raises(ConnectionClosed):
            await receive(socket)
        assert socket.close_code == 1009
        assert (await say(other, {"message": "still there?"}))["type"] == "message"


async def test_text_no_database_can_store_is_cleaned(server: Running) -> None:
    async with connect(f"{server.socket_url}/ws") as socket:
        text = '{"session_id": "s\\u0000", "user": "u\\u0000", "message": "a\\u0000b\\u202ec"}'
        await socket.send(text)
        answer = await receive(socket)
        assert answer["session_id"] == "s"
        assert answer["message_id"]
        # A lone surrogate is no text: said with U+FFFD in its place or refused, but answered.
        await socket.send('{"session_id": "s", "user": "u", "message": "cut \\ud83d"}')
        answer = await receive(socket)
        assert answer.get("message_id") or answer.get("type") == "error"
    history = (await server.http.get("/chat/sessions/s")).json()["messages"]
    assert history[0]["text"] == "abc"


async def test_random_frames_are_always_answered(tmp_path: Path) -> None:
    """Whatever is sent, a frame comes back and the next good message is answered."""
    rng = random.Random(4)
    alphabet = '{}[]",:\\u0d8 message stream/"=tru\x00\x1f\x7fé😀'
    settings = settings_for(tmp_path, limits__per_session=1e9, limits__per_address=1e9)
    async with running(settings) as server, chatting(server) as socket:
        for _ in range(150):
            text = "".join(rng.choices(alphabet, k=rng.randint(0, 40)))
            if rng.random() < 0.4:
                text = msgspec.json.encode({"message": f"/{text}"}).decode()
            await socket.send(text)
            frame = await receive(socket)
            assert frame["type"] in {"error", "command_response", "message"}
        assert (await say(socket, {"message": "still there?"}))["type"] == "message"


async def test_a_flood_is_answered_with_error_frames(server: Running) -> None:
    """500 messages at once: some are answered, the rest told to wait; nobody else suffers."""
    async with chatting(server) as socket, chatting(server) as other:
        frame = msgspec.json.encode({"message": "spam"}).decode()
        sending = asyncio.create_task(flood(socket, frame, 500))
        answer = await say(other, {"message": "am I heard?"})
        assert answer["type"] == "message"
        answers = [await receive(socket) for _ in range(500)]
        await sending
        kinds = [answer["type"] for answer in answers]
        assert set(kinds) == {"message", "error"}
        assert kinds.count("message") <= 30
        refused = next(answer for answer in answers if answer["type"] == "error")
        assert "too many" in refused["message"]
        assert "wait" in refused["message"]
        assert (await server.http.get("/healthz")).status_code in {200, 429}
        await (await socket.ping())


async def flood(socket: ClientConnection, frame: str, count: int) -> None:
    for _ in range(count):
        await socket.send(frame)


async def test_many_sessions_on_one_socket_do_not_evade_the_limit(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, limits__per_address=60)
    async with running(settings) as server, connect(f"{server.socket_url}/ws") as socket:
        answers = [
            await say(socket, {"session_id": f"s{n}", "user": "u", "message": "hi"})
            for n in range(30)
        ]
        refused = [answer for answer in answers if answer.get("type") == "error"]
        assert len(refused) >= 8
        assert all("this address" in answer["message"] for answer in refused)


async def test_a_token_is_limited_on_sockets_too(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET, limits__per_token=6)
    async with running(settings) as server:
        async with chatting(server, f"/ws/chat/auth?token={token('ana')}") as socket:
            answers = [await say(socket, {"message": "hi"}) for _ in range(4)]
        assert [answer["type"] for answer in answers] == ["message", "message", "error", "error"]
        assert "this token" in answers[-1]["message"]


async def test_a_peer_that_leaves_stops_the_model(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, brain__words_per_second=4, server__stream_grace=0)
    async with running(settings) as server:
        turns = server.application.services.turns
        async with chatting(server) as socket:
            await socket.send('{"message": "tell me a joke", "stream": true}')
            assert (await receive(socket))["type"] == "token"
            (run,) = (turns.active_run(session) for session in list(turns._active))
        assert run is not None
        async with asyncio.timeout(5):
            reply = await run.result()
        assert reply.status == "abandoned"
        assert reply.text
        await until(lambda: turns.active == 0)
        history = (await server.http.get(f"/chat/sessions/{run.session}")).json()["messages"]
        assert history[-1]["status"] == "abandoned"
        assert history[-1]["text"] == reply.text


async def test_a_peer_that_leaves_without_a_word_is_forgotten(server: Running) -> None:
    services = server.application.services
    gauge = services.metrics.sockets.labels("/ws/chat")
    for _ in range(5):
        async with chatting(server) as socket:
            await socket.send('{"message": "tell me a joke", "stream": true}')
            socket.transport.abort()
    await until(lambda: gauge._value.get() == 0)
    async with chatting(server) as socket:
        assert (await say(socket, {"message": "hi"}))["type"] == "message"


async def test_a_peer_that_never_reads_holds_up_nobody(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, limits__per_session=1e6, limits__per_address=1e6)
    async with running(settings) as server:
        port = int(server.url.rpartition(":")[2])
        with deaf_peer(port) as peer:
            frame = masked(b'{"message": "tell me a joke", "stream": true}')
            loop = asyncio.get_running_loop()
            sent = 0
            # Until the server stops reading from the one who does not read from it.
            try:
                async with asyncio.timeout(20):
                    while sent < 20_000:
                        async with asyncio.timeout(0.5):
                            await loop.sock_sendall(peer, frame * 50)
                        sent += 50
            except TimeoutError:
                pass
            async with chatting(server) as socket:
                assert (await say(socket, {"message": "am I heard?"}))["type"] == "message"
            assert server.application.services.turns.active <= 1
        gauge = server.application.services.metrics.sockets.labels("/ws/chat")
        await until(lambda: gauge._value.get() == 0)


def deaf_peer(port: int) -> sockets.socket:
    """An open `/ws/chat` whose side of the connection is never read from."""
    peer = sockets.socket()
    peer.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", port))
    peer.sendall(
        b"GET /ws/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    peer.setblocking(False)
    return peer


def masked(payload: bytes) -> bytes:
    """A text frame as clients send it, masked with zeros."""
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload


async def test_sockets_are_closed_when_the_server_stops(server: Running) -> None:
    async with chatting(server) as socket:
        server.process.should_exit = True
        with pytest.raises(ConnectionClosed):
            await receive(socket)
        assert socket.close_code in {1001, 1012}
    async with asyncio.timeout(10):
        await server.serving


async def test_replies_under_way_end_before_the_server_does(tmp_path: Path) -> None:
    async def last_words(socket: ClientConnection, begun: asyncio.Semaphore) -> bool:
        """Whether the reply on `socket` ends with the message its tokens make."""
        await socket.send('{"message": "tell me a joke", "stream": true}')
        frames = [await receive(socket)]
        begun.release()
        while frames[-1]["type"] == "token":
            frames.append(await receive(socket))
        *tokens, last = frames
        return last["content"] == "".join(token["content"] for token in tokens)

    settings = settings_for(tmp_path, brain__words_per_second=4)
    async with running(settings) as server, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(chatting(server)) for _ in range(40)]
        begun = asyncio.Semaphore(0)
        reading = [asyncio.create_task(last_words(socket, begun)) for socket in sockets]
        for _ in sockets:
            await begun.acquire()
        server.process.should_exit = True
        assert await asyncio.gather(*reading) == [True] * len(sockets)
