import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from typer.testing import Result

from tests.cli.conftest import Understudy, interrupted_when, one_line, usage_error
from understudy.cli.serve import reachable_address
from understudy.config import Settings
from understudy.server.auth import verify_token

Serve = Callable[..., Result]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def serve(understudy: Understudy, free_port: int) -> Serve:
    """Runs `understudy serve` until it answers, then stops it with a signal."""

    def run(*arguments: object, sign: signal.Signals = signal.SIGTERM) -> Result:
        def answers() -> bool:
            try:
                return httpx2.get(f"http://127.0.0.1:{free_port}/healthz").status_code == 200
            except httpx2.TransportError:
                return False

        with interrupted_when(answers, sign):
            return understudy("serve", "--port", free_port, *arguments)

    return run


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(
    serve: Serve, settings: Settings, free_port: int, sign: signal.Signals
) -> None:
    ended = serve(sign=sign)
    assert ended.exit_code == 0
    ready, brain, data = ended.stdout.splitlines()
    assert ready == f"Understudy is ready on http://127.0.0.1:{free_port}"
    assert brain.startswith("  brain    ")
    assert data == f"  data     {settings.data_dir}"
    assert (settings.data_dir / "understudy.db").is_file()
    assert not (settings.data_dir / "understudy.db-wal").exists()


def test_beyond_loopback_the_owner_gets_a_link_once(
    serve: Serve, settings: Settings, free_port: int
) -> None:
    first = serve("--host", "0.0.0.0").stdout
    address = f"http://{socket.gethostname()}:{free_port}"
    assert f"Understudy is ready on {address}\n" in first
    assert "every address of this machine" in first
    link = re.search(rf"  owner    {re.escape(address)}/#token=(\S+)  \(shown this once\)", first)
    assert link is not None
    secret = (settings.data_dir / "auth.secret").read_text()
    assert verify_token(secret, link[1]).role == "owner"
    again = serve("--host", "0.0.0.0").stdout
    assert "understudy token" in again
    assert link[1] not in again
    assert "eyJ" not in again


def test_the_link_can_be_told_when_secret_and_rows_are_elsewhere(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERSTUDY_AUTH__SECRET", "x" * 40)
    monkeypatch.setenv("UNDERSTUDY_AUTH__REQUIRED", "true")
    monkeypatch.setenv("UNDERSTUDY_STORAGE__URL", f"sqlite+aiosqlite:///{tmp_path}/else/where.db")
    assert "#token=" in serve().stdout


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("192.0.2.7", "http://192.0.2.7:80"),
        ("::1", "http://[::1]:80"),
        ("::", f"http://{socket.gethostname()}:80"),
    ],
)
def test_the_address_is_one_a_browser_can_open(host: str, address: str) -> None:
    assert reachable_address(host, 80) == address


def test_a_port_in_use_is_the_first_thing_said(understudy: Understudy, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        said = one_line(understudy("serve", "--port", port))
    assert said.startswith(f"cannot listen on 127.0.0.1:{port} (")
    assert said.endswith("choose another with --port")
    assert not settings.data_dir.exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "a..b"])
def test_an_address_that_is_not_ours(understudy: Understudy, host: str) -> None:
    said = one_line(understudy("serve", "--host", host, "--port", 0))
    assert said.endswith("choose another with --host")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PERSONA__DEFAULT", "nobody", "there is no persona 'nobody': use one of default"),
        ("BUS__URL", "redis://localhost", "bus.url is not supported yet"),
        ("AUTH__SECRET", "short", "auth.secret is too short"),
        ("BRAIN__PROVIDER", "oracle", "oracle"),
        ("STORAGE__URL", "sqlite+aiosqlite://", "storage.url names no file"),
        ("SERVER__PORT", "eighty", "server.port is not valid"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    if name != "SERVER__PORT":
        monkeypatch.setenv("UNDERSTUDY_SERVER__PORT", "0")
    monkeypatch.setenv(f"UNDERSTUDY_{name}", value)
    assert said in one_line(understudy("serve"))


def test_a_newer_database_is_left_alone(understudy: Understudy, newer_database: Settings) -> None:
    assert "newer" in one_line(understudy("serve", "--port", 0))


def test_wrong_usage(understudy: Understudy) -> None:
    assert "only `all` is supported" in usage_error(understudy("serve", "--role", "api"))
    assert "--port" in usage_error(understudy("serve", "--port", 70_000))


def test_a_first_start_says_nothing_but_its_lines(workplace: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=workplace,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    process.terminate()
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert lines[0].startswith("Understudy is ready on http://127.0.0.1:")
    assert (rest, errors) == ("", "")
