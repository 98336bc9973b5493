import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import msgspec
import pytest
from typer.testing import Result

from tests.cli.conftest import (
    Json,
    Understudy,
    interrupted_when,
    one_line,
    opened,
    served,
    usage_error,
)
from tests.serving import Running, settings_for
from understudy.cli.client import Client
from understudy.cli.main import app
from understudy.cli.terminal import CommandFailed
from understudy.cli.token import parse_ttl
from understudy.server.auth import issue_token, load_secret
from understudy.storage.sessions import Sessions

SLOW = {"brain__words_per_second": 3}


def history(server: Running, session: str) -> list[Json]:
    return httpx2.get(f"{server.url}/chat/sessions/{session}").json()["messages"]


def new_session(server: Running) -> str:
    return httpx2.post(f"{server.url}/chat/start", json={"user_id": "t"}).json()["session_id"]


def answering(server: Running, session: str) -> bool:
    """Whether some of a reply has been said in the session."""
    run = httpx2.get(f"{server.url}/chat/sessions/{session}").json()["run"]
    if run is None:
        return False
    with httpx2.stream("GET", f"{server.url}/chat/runs/{run}") as frames:
        return any("token" in line for line in frames.iter_lines())


def test_lines_of_a_pipe_are_answered_in_one_session(
    understudy: Understudy, server: Running
) -> None:
    session = new_session(server)
    said = understudy(
        "chat", "--url", server.url, "--session", session, stdin="hello\n\n  \nwho are you?\n"
    )
    assert (said.exit_code, said.stderr) == (0, "")
    messages = history(server, session)
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2
    assert said.stdout == f"{messages[1]['text']}\n{messages[3]['text']}\n"


def test_json_is_one_object_a_line(understudy: Understudy, server: Running) -> None:
    said = understudy("chat", "--url", f"{server.url}/", "--json", stdin="hello\nthank you\n")
    answers = [msgspec.json.decode(line) for line in said.stdout.splitlines()]
    assert len({answer["session_id"] for answer in answers}) == 1
    stored = [m for m in history(server, answers[0]["session_id"]) if m["role"] == "assistant"]
    assert [(a["reply"], a["message_id"]) for a in answers] == [
        (m["text"], m["id"]) for m in stored
    ]
    assert len(answers) == 2


def test_a_persona_can_be_chosen(understudy: Understudy, server: Running) -> None:
    (answer,) = understudy(
        "chat", "--url", server.url, "--persona", "drill_sergeant", "--json", stdin="hello"
    ).stdout.splitlines()
    session = msgspec.json.decode(answer)["session_id"]
    shown = httpx2.get(f"{server.url}/chat/sessions/{session}").json()
    assert shown["persona"] == "drill_sergeant"
    refused = one_line(understudy("chat", "--url", server.url, "--persona", "nobody"))
    assert "use one of default, calm_coach" in refused


def test_emoji_and_other_scripts_arrive_unharmed(understudy: Understudy, server: Running) -> None:
    session = new_session(server)
    text = "김철수 says 👩‍💻 ¡olé! 🏳️‍🌈"
    understudy("chat", "--url", server.url, "--session", session, stdin=f"{text}\n")
    assert history(server, session)[0]["text"] == text


def test_bytes_that_are_no_text_do_no_harm(understudy: Understudy, server: Running) -> None:
    session = new_session(server)
    said = understudy(
        "chat", "--url", server.url, "--session", session, stdin=b"hello \xff there\n"
    )
    assert said.exit_code == 0
    assert history(server, session)[0]["text"] == "hello \ufffd there"


def test_a_line_that_is_too_long_is_one_sentence(understudy: Understudy, server: Running) -> None:
    refused = one_line_after(understudy("chat", "--url", server.url, stdin="x" * 5_000))
    assert refused == "message is longer than 4000 characters: send less at once"


def one_line_after(result: Result) -> str:
    """As `one_line`, where the line for the answer has been begun."""
    assert result.exit_code == 1
    assert result.stdout.strip() == ""
    return result.stderr.strip().removeprefix("understudy: ")


def test_the_clients_own_commands(understudy: Understudy, server: Running) -> None:
    session = new_session(server)
    lines = ["/help", "//help me", "/new", "hello", "/quit", "never said"]
    said = understudy(
        "chat", "--url", server.url, "--session", session, stdin="\n".join(lines)
    ).stdout
    assert "Ctrl-C stops a reply" in said
    assert [m["text"] for m in history(server, session) if m["role"] == "user"] == ["/help me"]
    other = re.search(r"^session (\S+)$", said, re.MULTILINE)
    assert other is not None
    assert other[1] != session
    asked, _ = history(server, other[1])
    assert asked["text"] == "hello"


def test_an_unknown_command_names_help(understudy: Understudy, server: Running) -> None:
    refused = one_line(understudy("chat", "--url", server.url, stdin="/dance now\n"))
    assert refused == "/dance is no command here: /help lists them"


def test_nobody_there_is_one_sentence(understudy: Understudy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = one_line(understudy("chat", "--url", f"http://127.0.0.1:{port}"))
    assert "does not answer (ConnectError): start `understudy serve`" in refused
    assert "(InvalidURL)" in one_line(understudy("chat", "--url", "http://localhost:port"))
    assert "is no address" in usage_error(understudy("chat", "--url", "127.0.0.1:8000"))


def test_a_session_that_is_not_there(understudy: Understudy, server: Running) -> None:
    refused = understudy("chat", "--url", server.url, "--session", "no/such?one")
    assert "no session" in one_line(refused)


def test_a_token_is_sent(understudy: Understudy, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "server", auth__required=True)
    with served(settings) as server:
        assert "token" in one_line(understudy("chat", "--url", server.url, stdin="hello"))
        token = issue_token(load_secret(settings), "ada", "viewer", parse_ttl("1h"))
        said = understudy("chat", "--url", server.url, "--token", token, stdin="hello")
        assert said.exit_code == 0
        assert said.stdout.strip()


# --- servers that are not Understudy's


@contextmanager
def stranger(*answers: bytes) -> Iterator[str]:
    """A server that gives these answers, one a connection, whatever it is asked."""
    program = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        f"for answer in {answers!r}:\n"
        "    connection, _ = listener.accept()\n"
        "    connection.recv(65536)\n"
        "    connection.sendall(answer)\n"
        "    connection.close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


def answer(body: str, status: str = "200 OK", headers: str = "") -> bytes:
    content = body.encode()
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(content)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + content


STARTED = answer('{"session_id": "s"}')
STREAM = "X-Run-Id: r\r\nContent-Type: text/event-stream\r\n"


@pytest.mark.parametrize(
    "given",
    [
        answer("<html>hello</html>"),
        answer("[1]"),
        answer("{}"),
        answer("not found", "404 Not Found"),
        answer('["detail"]', "500 Internal Server Error"),
    ],
)
def test_another_program_is_told_from_understudy(understudy: Understudy, given: bytes) -> None:
    with stranger(given) as url:
        assert "is not Understudy's: check --url" in one_line(understudy("chat", "--url", url))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (answer('data: {"token": "Go"}\n\n', headers=STREAM), "the reply broke off: ask again"),
        (answer("data: {oops\n\n", headers=STREAM), "check --url"),
        (
            answer('data: {"error": "the model is away", "done": true}\n\n', headers=STREAM),
            "the model is away",
        ),
        (answer('{"detail": "busy"}', "503 Service Unavailable"), "busy"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ndata", "does not answer"),
    ],
)
def test_a_reply_that_fails_is_one_sentence(
    understudy: Understudy, given: bytes, said: str
) -> None:
    with stranger(STARTED, given) as url:
        failed = understudy("chat", "--url", url, stdin="hello\n")
    assert failed.exit_code == 1
    assert said in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_reply_cannot_command_the_terminal(understudy: Understudy) -> None:
    frames = 'data: {"token": "\\u001b[2Jred\\u0007 :smile: [b]\\t"}\n\ndata: {"done": true}\n\n'
    with stranger(STARTED, answer(frames, headers=STREAM)) as url:
        assert understudy("chat", "--url", url, stdin="hi\n").stdout == "[2Jred :smile: [b]\t\n"


def test_leaving_the_frames_early_stops_the_reply(tmp_path: Path) -> None:
    with served(settings_for(tmp_path, **SLOW)) as server, Client(server.url, None) as client:
        session = client.start(None, None)
        frames = client.stream(session, "tell me everything")
        next(frames)
        frames.close()
        with pytest.raises(CommandFailed, match="there is no run"):
            client.call("POST", "/chat/runs/none/stop")
    assert history_of(tmp_path, session)[-1] == "stopped"


def history_of(folder: Path, session: str) -> list[str]:
    async def read() -> list[str]:
        async with opened(settings_for(folder)) as database:
            return [m.status for m in await Sessions(database).messages(session)]

    return asyncio.run(read())


# --- at a terminal


def test_ctrl_c_stops_the_reply_and_keeps_the_conversation(
    terminal: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(settings_for(tmp_path, **SLOW)) as server:
        session = new_session(server)
        os.write(terminal, b"tell me a long story\n/dance\n/help\n\x04")
        with interrupted_when(lambda: answering(server, session)):
            app(["chat", "--url", server.url, "--session", session], standalone_mode=False)
        reply = history(server, session)[-1]
        assert (reply["role"], reply["status"]) == ("assistant", "stopped")
    shown = capsys.readouterr()
    assert shown.out.startswith(f"session {session} · Enter sends")
    assert " …\nyou > " in shown.out
    assert shown.out.count("you > ") == 4
    assert shown.err == "understudy: /dance is no command here: /help lists them\n"


def test_ctrl_c_at_the_prompt_gives_a_new_one(
    terminal: int, server: Running, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = workplace / "screen"

    def prompted_again() -> bool:
        if screen.read_text("utf-8").count("you > ") < 2:
            return False
        os.write(terminal, b"\x04")
        return True

    with screen.open("w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with interrupted_when(lambda: "you > " in screen.read_text("utf-8"), then=prompted_again):
            app(["chat", "--url", server.url], standalone_mode=False)
    assert screen.read_text("utf-8").endswith("you > \nyou > ")


def test_ctrl_c_in_a_pipe_ends_the_command(understudy: Understudy, tmp_path: Path) -> None:
    with served(settings_for(tmp_path, **SLOW)) as server:
        session = new_session(server)
        with interrupted_when(lambda: answering(server, session)):
            ended = understudy(
                "chat", "--url", server.url, "--session", session, "--json", stdin="a story\nmore\n"
            )
        assert ended.exit_code not in {0, 2}
        asked, reply = history(server, session)
    assert asked["text"] == "a story"
    assert reply["status"] == "stopped"
    # What the command had received by then; it may have been nothing.
    for line in ended.stdout.splitlines():
        assert reply["text"].startswith(msgspec.json.decode(line)["reply"].rstrip())


class Typist:
    """A person at a real terminal in which the command runs."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.seen = ""

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def waits_for(self, pattern: str) -> None:
        """Read until `pattern` is on the screen after what was waited for before."""
        deadline = time.monotonic() + 20
        read, screen = b"", ""
        while not re.search(pattern, screen, re.DOTALL):
            assert time.monotonic() < deadline, f"{pattern!r} is not in {screen!r}"
            if select.select([self._terminal], [], [], 0.1)[0]:
                # As a whole: a character may come in two pieces.
                read += os.read(self._terminal, 65_536)
                screen = read.decode("utf-8", "replace")
        self.seen += screen


@contextmanager
def typist(url: str) -> Iterator[tuple[Typist, subprocess.Popen[bytes]]]:
    """Somebody who has just started `understudy chat` at a terminal."""
    person, program = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "chat", "--url", url],
        stdin=program,
        stdout=program,
        stderr=program,
        start_new_session=True,
    )
    os.close(program)
    try:
        yield Typist(person), process
    finally:
        process.kill()
        process.wait()
        os.close(person)


def test_a_person_at_a_terminal(tmp_path: Path) -> None:
    with (
        served(settings_for(tmp_path / "server", **SLOW)) as server,
        typist(server.url) as (person, process),
    ):
        person.waits_for(r"session \S+ .*you > ")
        session = re.search(r"session (\S+)", person.seen)
        assert session is not None
        person.types("tell me a long story 🎉\n")
        person.waits_for(r"🎉\r\n.*\w+ \w+")
        process.send_signal(signal.SIGINT)
        person.waits_for(r" …\r\nyou > ")
        person.types("/help\n")
        person.waits_for("starts afresh.*you > ")
        person.types("x" * 4_500 + "\n")
        person.waits_for("message is longer than 4000 characters.*you > ")
        person.types("\x04")
        assert process.wait(timeout=20) == 0
        asked, reply = history(server, session[1])
    assert asked["text"] == "tell me a long story 🎉"
    assert reply["status"] == "stopped"
