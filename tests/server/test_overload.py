"""More than there is room for: refused politely, bounded, and stopped in good order."""

import asyncio
import os
import re
import resource
import signal
import socket as sockets
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest

from tests.server.wire import PATIENT, SECRET, assert_problem, bearer
from tests.serving import Running, parse_events, running, settings_for
from tests.stepped_brain import SteppedBrain
from tests.waiting import until
from understudy.brains.base import Brain, BrainEvent, BrainRequest, Text
from understudy.engine.runs import TokenFrame
from understudy.engine.turn import TurnRequest


def slow_reader(port: int, request: bytes) -> sockets.socket:
    """A client that sends `request` and never reads the answer."""
    peer = sockets.socket()
    peer.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", port))
    peer.sendall(request)
    return peer


def stream_request(session: str) -> bytes:
    body = msgspec.json.encode({"session_id": session, "message": "hi"})
    return (
        b"POST /chat/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def resume_request(run: str) -> bytes:
    return f"GET /chat/runs/{run}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class Verbose(Brain):
    """Says much in large pieces, as fast as it can."""

    name = "verbose"
    model = "verbose-1"

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    def describe(self) -> str:
        return "says much"

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        for number in range(self.pieces):
            await asyncio.sleep(0)
            yield Text(f"{number} {'word ' * 120}\n")


async def test_slow_readers_hold_up_nobody(tmp_path: Path) -> None:
    """200 clients ask for streams and do not read; the next one is answered all the same."""
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        services = server.application.services
        names = [f"slow{number}" for number in range(200)]
        for name in names:
            await services.sessions.get_or_create(name, "u", "default")
        port = int(server.url.rpartition(":")[2])
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(slow_reader(port, stream_request(name)))
            body = {"session_id": "quick", "user": "u", "message": "am I heard?"}
            answer = await server.http.post("/chat", json=body)
            assert answer.json()["message_id"]
            # Their replies end and are kept whether anybody reads them or not.
            await until(lambda: services.metrics.requests.labels("POST", "200")._value.get() == 201)
            await until(lambda: services.turns.active == 0, within=30)
            for name in names:
                user, reply = await services.sessions.history(name)
                assert (user.role, reply.status) == ("user", "complete")


async def test_what_slow_readers_do_not_take_costs_little_memory(tmp_path: Path) -> None:
    """A reply of 8 MB and readers that take none of it: they wait, and it is kept once."""
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        services = server.application.services
        services.router.brain = SteppedBrain()
        await services.sessions.get_or_create("long", "u", "default")
        run = await services.turns.start(
            TurnRequest(session="long", user="u", text="tell me everything", persona="default")
        )
        for _ in range(8_000):
            run.log.append(TokenFrame("x" * 1_000))
        port = int(server.url.rpartition(":")[2])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(slow_reader(port, resume_request(run.id)))
            await until(lambda: run._readers == 20)
            # Another reader takes all of it meanwhile, so the slow ones had their time.
            read = 0
            path = f"/chat/runs/{run.id}?after=0"
            async with server.http.stream("GET", path) as response:
                async for piece in response.aiter_bytes():
                    read += len(piece)
                    if read > 8_000_000:
                        break
            grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert run._readers >= 20
            run.stop()
            await until(lambda: services.turns.active == 0)
            assert run._readers == 20, "the reply is too short to fill a slow reader's buffers"
        assert grown_kib < 20 * 8_000 / 2
        await until(lambda: run._readers == 0)


async def test_too_many_replies_at_once(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, limits__streams=3, brain__words_per_second=1, **PATIENT)
    async with running(settings) as server, streams(server, 3) as responses:
        body = {"session_id": "one more", "user": "u", "message": "hi"}
        body["session_id"] = "one-more"
        refused = await server.http.post("/chat", json=body)
        assert_problem(refused, 503, "too many replies")
        assert refused.headers["Retry-After"]
        session = await server.session()
        refused = await server.http.post(
            "/chat/stream", json={"session_id": session, "message": "hi"}
        )
        assert_problem(refused, 503)
        run = responses[0].headers["X-Run-Id"]
        await server.http.post(f"/chat/runs/{run}/stop")
        await until(lambda: server.application.services.turns.active == 2)
        accepted = asyncio.create_task(server.http.post("/chat", json=body))
        await until(lambda: server.application.services.turns.active == 3)
        server.application.services.turns.active_run("one-more").stop()  # type: ignore[union-attr]
        assert (await accepted).status_code == 200


@asynccontextmanager
async def streams(server: Running, count: int) -> AsyncIterator[list[httpx2.Response]]:
    """`count` streams under way, each in a session of its own."""
    limits = httpx2.Limits(max_connections=count + 5)
    async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=60) as http:
        requests = []
        for number in range(count):
            session = await server.session(f"u{number}")
            body = {"session_id": session, "message": "tell me a joke"}
            requests.append(http.build_request("POST", "/chat/stream", json=body))
        responses = await asyncio.gather(*(http.send(r, stream=True) for r in requests))
        try:
            assert {response.status_code for response in responses} == {200}
            yield list(responses)
        finally:
            for response in responses:
                await response.aclose()


async def test_each_limit_says_how_long_to_wait(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path / "a", limits__per_address=30)) as server:
        answers = [await server.http.get("/healthz") for _ in range(12)]
        assert [a.status_code for a in answers] == 10 * [200] + 2 * [429]
        assert_problem(answers[-1], 429, "this address", "wait")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3
    async with running(settings_for(tmp_path / "s", limits__per_session=6)) as server:
        body = {"session_id": "s", "user": "u", "message": "hi"}
        answers = [await server.http.post("/chat", json=body) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        assert_problem(answers[-1], 429, "this session", "wait")
        assert int(answers[-1].headers["Retry-After"]) >= 1
        other = await server.http.post("/chat", json=body | {"session_id": "other"})
        assert other.status_code == 200
        assert len((await server.http.get("/chat/sessions/s")).json()["messages"]) == 4
    settings = settings_for(
        tmp_path / "t", auth__required=True, auth__secret=SECRET, limits__per_token=6
    )
    async with running(settings) as server:
        ana, ben = bearer("ana"), bearer("ben")
        answers = [await server.http.get("/personas", headers=ana) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        assert_problem(answers[-1], 429, "this token", "wait")
        assert (await server.http.get("/personas", headers=ben)).status_code == 200


async def test_a_token_is_not_held_back_by_the_network_stack(server: Running) -> None:
    """Without the option each token can wait 40 ms for the peer to acknowledge the one before."""
    (listening,) = server.process.servers
    for listener in listening.sockets:
        assert listener.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY)


async def test_runs_are_forgotten_without_being_asked_for(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, server__run_ttl=0, **PATIENT)) as server:
        for _ in range(10):
            body = {"session_id": "s", "user": "u", "message": "hi"}
            await server.http.post("/chat", json=body)
        assert len(server.application.services.turns._runs) <= 2


class Served:
    """`understudy serve` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def stop(self, signal_number: int) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(signal_number)
        async with asyncio.timeout(15):
            return await self.process.wait()


@asynccontextmanager
async def served(folder: Path, **env: str) -> AsyncIterator[Served]:
    """A served data directory; killed if it is still there at the end."""
    defaults = {f"UNDERSTUDY_LIMITS__PER_{what}": "1e9" for what in ("ADDRESS", "SESSION")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "understudy", "serve", "--port", "0", "--data", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **defaults, **env},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        url = re.search(r"http://\S+", line)
        assert url is not None, line
        yield Served(process, url[0])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_every_stream_in_good_order(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    count = 100 if signal_number == signal.SIGTERM else 5
    async with served(tmp_path, UNDERSTUDY_BRAIN__WORDS_PER_SECOND="5") as server:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=server.url, timeout=30, limits=limits) as http:
            started = await asyncio.gather(
                *(http.post("/chat/start", json={"user_id": f"u{n}"}) for n in range(count))
            )
            sessions = [answer.json()["session_id"] for answer in started]
            under_way = asyncio.Semaphore(0)
            reading = [
                asyncio.create_task(read_stream(http, session, under_way)) for session in sessions
            ]
            for _ in range(count):
                async with asyncio.timeout(30):
                    await under_way.acquire()
            async with asyncio.timeout(5):
                code = await server.stop(signal_number)
            seen = await asyncio.gather(*reading)
        assert code == 0
    for events in seen:
        *tokens, (_, done) = events
        assert tokens
        assert done["done"] is True
        assert done["message_id"]
        assert done["interrupted"] == "stopped"
    async with running(settings_for(tmp_path, **PATIENT)) as again:
        for session, events in zip(sessions, seen, strict=True):
            history = (await again.http.get(f"/chat/sessions/{session}")).json()["messages"]
            shown = "".join(data.get("token", "") for _, data in events)
            assert [m["role"] for m in history] == ["user", "assistant"]
            assert history[1]["text"] == shown
            assert history[1]["status"] == "stopped"
            assert history[1]["id"] == events[-1][1]["message_id"]


async def read_stream(
    http: httpx2.AsyncClient, session: str, under_way: asyncio.Semaphore
) -> list[tuple[str, dict[str, object]]]:
    """Read one stream to its end; says when its first token has come."""
    text = ""
    body = {"session_id": session, "message": "tell me a long story please"}
    async with http.stream("POST", "/chat/stream", json=body) as response:
        assert response.status_code == 200
        async for piece in response.aiter_text():
            if "token" in piece and "token" not in text:
                under_way.release()
            text += piece
    return parse_events(text)


async def test_a_stop_waits_for_nobody_who_does_not_read(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        server.application.services.router.brain = Verbose(2_000)
        await server.application.services.sessions.get_or_create("slow", "u", "default")
        port = int(server.url.rpartition(":")[2])
        with slow_reader(port, stream_request("slow")):
            turns = server.application.services.turns
            await until(lambda: turns.active_run("slow") is not None)
            server.process.should_exit = True
            async with asyncio.timeout(10):
                await server.serving
        history = await server.application.services.sessions.history("slow")
        assert history[-1].role == "assistant"


async def test_while_stopping_nothing_new_begins(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, brain__words_per_second=4, **PATIENT)
    async with running(settings) as server:
        await server.application.services.turns.close()
        body = {"session_id": "s", "user": "u", "message": "hi"}
        assert_problem(await server.http.post("/chat", json=body), 503, "stopping")


async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "understudy", "serve", "--port", str(port)),
            *("--data", str(tmp_path)),
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        async with asyncio.timeout(30):
            _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"Traceback" not in stderr
    assert b"--port" in stderr
