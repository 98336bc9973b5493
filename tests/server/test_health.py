"""Liveness, readiness through storage trouble, and figures a scraper can read."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from tests.server.wire import assert_problem, receive
from tests.serving import Running, parse_events, running, settings_for
from tests.waiting import until
from understudy import __version__
from understudy.storage import log_writer, sqlite


async def figures(server: Running) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample at `/metrics` by name and sorted label values."""
    response = await server.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_it_is_alive_and_ready(server: Running) -> None:
    assert (await server.http.get("/healthz")).json() == {"status": "ok", "version": __version__}
    ready = await server.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ok"
    assert set(ready.json()["checks"].values()) == {"ok"}


async def test_the_figures_count_what_happened(server: Running) -> None:
    body = {"session_id": "s", "user": "u", "message": "hi"}
    await server.http.post("/chat", json=body)
    await server.http.post("/chat", json={})
    async with connect(f"{server.socket_url}/ws/chat") as socket:
        await receive(socket)
        found = await figures(server)
    model = server.application.services.router.brain.model
    assert found["understudy_http_requests_total", ("200", "POST")] == 1
    assert found["understudy_http_requests_total", ("422", "POST")] == 1
    assert found["understudy_replies_total", ("complete", model)] == 1
    assert found["understudy_first_token_seconds_count", ()] == 1
    assert found["understudy_reply_seconds_count", ()] == 1
    assert found["understudy_sockets", ("/ws/chat",)] == 1
    assert found["understudy_replies_active", ()] == 0
    assert found["understudy_log_rows_committed", ()] >= 3
    assert found["understudy_log_rows_queued", ()] == 0


async def test_strangers_cannot_make_up_labels(server: Running) -> None:
    before = len(await figures(server))
    for number in range(20):
        await server.http.request("PROPFIND", f"/x{number}")
        await server.http.get(f"/personas/p{number}")
    after = len(await figures(server))
    assert after - before < 10


async def test_a_failure_inside_is_counted_and_not_told(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, object]:
        raise ZeroDivisionError("a detail of the inside")

    services = server.application.services
    monkeypatch.setattr(type(services), "state", lambda _: broken())
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    try:
        response = await server.http.get("/api/v1/status")
    finally:
        logger.removeHandler(caplog.handler)
    detail = assert_problem(response, 500, "server's log")
    assert "inside" in detail
    assert "detail of" not in response.text
    assert any(record.exc_info for record in caplog.records)
    assert (await figures(server))["understudy_http_requests_total", ("500", "GET")] == 1


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The log's connections opened from here on, impatient, so that trouble can be made."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite.connect

    def remember(path: Path) -> sqlite3.Connection:
        opened.append(connect(path))
        opened[-1].execute("PRAGMA busy_timeout = 20")
        return opened[-1]

    monkeypatch.setattr(sqlite, "connect", remember)
    return opened


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that gives callers an answer soon."""
    defaults = log_writer.LogWriter.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "ack_timeout", 0.2)


TROUBLE = {
    "disk full": ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "disk is full"),
    "read-only": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "read-only"),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("begin", "end", "words"), TROUBLE.values(), ids=TROUBLE)
async def test_storage_trouble_is_told_and_survived(
    tmp_path: Path, connections: list[sqlite3.Connection], begin: str, end: str, words: str
) -> None:
    long = {"session_id": "s", "user": "u", "message": "x" * 4_000}
    acknowledged: list[str] = []
    async with running(settings_for(tmp_path)) as server:
        session = await server.session()
        acknowledged.append((await server.http.post("/chat", json=long)).json()["message_id"])
        connections[0].execute(begin)

        # The answer comes, honest about not being stored; whole, streamed and on a socket.
        answer = (await server.http.post("/chat", json=long)).json()
        assert answer["reply"]
        assert answer["message_id"] is None
        body = {"session_id": session, "message": long["message"]}
        stream = await server.http.post("/chat/stream", json=body)
        *_, (_, done) = parse_events(stream.text)
        assert done["done"] is True
        assert done["message_id"] is None
        async with connect(f"{server.socket_url}/ws") as socket:
            await socket.send('{"session_id": "s", "user": "u", "message": "hi"}')
            assert (await receive(socket))["message_id"] is None

        ready = await server.http.get("/readyz")
        assert ready.status_code == 503
        assert words in ready.json()["checks"]["log"]
        status = (await server.http.get("/api/v1/status")).json()
        assert any(words in problem for problem in status["problems"])
        assert words in status["storage"]["last_error"]
        assert (await server.http.get("/healthz")).status_code == 200
        assert (await server.http.get("/chat/sessions/s")).status_code == 200

        connections[0].execute(end)
        log = server.application.services.log
        await until(lambda: log.stats.queued == 0)
        assert (await server.http.get("/readyz")).status_code == 200
        acknowledged.append((await server.http.post("/chat", json=long)).json()["message_id"])
        history = (await server.http.get("/chat/sessions/s")).json()["messages"]
    assert None not in acknowledged
    async with running(settings_for(tmp_path)) as server:
        stored = (await server.http.get("/chat/sessions/s")).json()["messages"]
        # Nothing acknowledged is lost, and what was only queued was written late.
        assert {message["id"] for message in stored} >= set(acknowledged)
        assert [message["text"] for message in stored] == [m["text"] for m in history]


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    """Another process holds the write lock of the database at `path`."""
    command = [sys.executable, "-c", LOCKER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        try:
            yield
        finally:
            process.communicate()


@pytest.mark.usefixtures("hurried", "connections")
async def test_a_lock_of_another_process_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PRAGMAS", "READ_PRAGMAS"):
        monkeypatch.setattr(sqlite, name, getattr(sqlite, name) + "PRAGMA busy_timeout = 20;")
    body = {"session_id": "s", "user": "u", "message": "hi"}
    async with running(settings_for(tmp_path)) as server:
        await server.http.post("/chat", json=body)
        with locked_by_another_process(tmp_path / "understudy.db"):
            answer = (await server.http.post("/chat", json=body)).json()
            assert answer["reply"]
            assert answer["message_id"] is None
            ready = await server.http.get("/readyz")
            assert ready.status_code == 503
            assert "locked by another process" in ready.json()["checks"]["log"]
            # What cannot be done without the disk says so.
            refused = await server.http.post("/chat/start", json={"user_id": "u"})
            assert_problem(refused, 503, "locked by another process")
            assert refused.headers["Retry-After"]
            refused = await server.http.post("/chat", json=body | {"session_id": "new"})
            assert_problem(refused, 503, "locked")
            async with connect(f"{server.socket_url}/ws/chat") as socket:
                await receive(socket)
                await socket.send('{"message": "hi"}')
                frame = await receive(socket)
                assert frame["type"] == "error"
                assert "locked" in frame["message"]
        log = server.application.services.log
        await until(lambda: log.stats.queued == 0)
        assert (await server.http.get("/readyz")).status_code == 200
        assert (await server.http.post("/chat", json=body)).json()["message_id"]


def serve(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `understudy serve` in `folder` until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "understudy", "serve", "--port", "0", "--data", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
    )


def test_a_database_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "understudy.db")) as raw, raw:
        raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
        raw.execute("INSERT INTO alembic_version VALUES ('9999')")
    ended = serve(tmp_path)
    assert ended.returncode == 1
    assert_one_sentence(ended.stderr, "newer")


def test_a_file_that_is_no_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "understudy.db").write_bytes(b"this is not a database" * 100)
    ended = serve(tmp_path)
    assert ended.returncode == 1
    assert_one_sentence(ended.stderr, "not a database")


def assert_one_sentence(stderr: str, words: str) -> None:
    """The error is one sentence with `words`; a console may wrap it."""
    assert "Traceback" not in stderr
    told = " ".join(stderr[stderr.index("understudy: ") :].split())
    assert words in told
    assert stderr.count("understudy: ") == 1
