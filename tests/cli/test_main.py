import io
import subprocess
import sys

import pytest

import understudy as package
from tests.cli.conftest import Understudy, one_line
from understudy.cli import main
from understudy.cli.terminal import check_url, fail, forgive

COMMANDS = ("serve", "chat", "rehearse", "import", "export", "token", "db", "doctor")
SERVER_ONLY = ("fastapi", "starlette", "uvicorn", "prometheus_client")


def test_help_names_every_command_with_one_line(understudy: Understudy) -> None:
    shown = understudy("--help")
    assert shown.exit_code == 0
    for command in COMMANDS:
        line = next(line for line in shown.stdout.splitlines() if f" {command} " in line)
        assert len(line.split()) > 4


def test_without_a_command_it_shows_its_help(understudy: Understudy) -> None:
    assert "Usage" in understudy().output


def test_version(understudy: Understudy) -> None:
    assert understudy("--version").stdout == f"understudy {package.__version__}\n"


def test_an_unknown_command_is_wrong_usage(understudy: Understudy) -> None:
    assert understudy("sing").exit_code == 2


def test_main_runs_the_command_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["understudy", "--version"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("understudy ")


def test_an_error_is_one_line_however_long_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("a [b]very[/b] long\nsentence " * 50) == 1
    assert (
        capsys.readouterr().err == f"understudy: {('a [b]very[/b] long sentence ' * 50).strip()}\n"
    )


def test_a_bad_setting_is_one_line_on_stderr(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_SERVER__PORT", "eighty")
    for command in (["serve"], ["doctor"], ["db", "check"], ["token", "--user", "ada"]):
        assert one_line(understudy(*command)).startswith("server.port is not valid: ")


def test_a_config_file_that_is_not_there_is_said(understudy: Understudy) -> None:
    assert "nowhere.toml is not there" in one_line(understudy("doctor", "--config", "nowhere.toml"))


def test_characters_a_stream_cannot_take_become_question_marks() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    forgive(stream)
    stream.write("✓ ok")
    stream.flush()
    assert stream.buffer.getvalue() == b"? ok"  # type: ignore[attr-defined]
    forgive(io.StringIO())


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "", "http:///"])
def test_an_address_needs_a_scheme_and_a_host(url: str, understudy: Understudy) -> None:
    for command in (["chat"], ["rehearse", "x.jsonl"]):
        refused = understudy(*command, "--url", url)
        assert refused.exit_code == 2
        assert "is no address" in refused.stderr


def test_an_address_loses_its_last_slash() -> None:
    assert check_url("https://example.org/co/") == "https://example.org/co"
    assert check_url(None) is None


def test_commands_that_need_no_server_do_not_import_it() -> None:
    program = f"""
import sys
from understudy.cli import main
for line in ("--help", "token --user ada", "db upgrade", "db check", "doctor"):
    sys.argv = ["understudy", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
    loaded = [name for name in {SERVER_ONLY!r} if name in sys.modules]
    assert not loaded, (line, loaded)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
