from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Understudy, leave_loose_ends
from understudy.cli import doctor
from understudy.config import Settings

PARTS = (
    *("data", "database", "bus", "brain", "tools", "personas"),
    *("twitch", "youtube", "discord", "mongo", "mood", "learning"),
    *("web app", "auth"),
)


def finding(understudy: Understudy, part: str, state: str) -> str:
    """What the doctor says about `part`, whose state must be `state`."""
    examined = understudy("doctor", "--json")
    found = {f["part"]: f for f in msgspec.json.decode(examined.stdout)}
    assert tuple(found) == PARTS
    assert examined.stderr == ""
    assert found[part]["state"] == state, found
    broken = any(f["state"] == "broken" for f in found.values())
    assert examined.exit_code == (1 if broken else 0)
    return found[part]["detail"]


def test_a_fresh_machine_is_well_and_stays_as_it_is(
    understudy: Understudy, settings: Settings
) -> None:
    examined = understudy("doctor")
    assert examined.exit_code == 0
    lines = examined.stdout.splitlines()
    assert len(lines) == len(PARTS)
    for part, line in zip(PARTS, lines, strict=True):
        mark, rest = line.split(" ", 1)
        assert mark in "✓!"
        assert rest.startswith(part)
    assert "will be created at the first start" in examined.stdout
    assert not settings.data_dir.exists()


def test_a_database_that_is_there_is_named(understudy: Understudy) -> None:
    understudy("db", "upgrade")
    assert finding(understudy, "database", "ok").endswith("understudy.db")


def test_a_newer_database(understudy: Understudy, newer_database: Settings) -> None:
    assert "newer" in finding(understudy, "database", "broken")


def test_a_damaged_database(understudy: Understudy, settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "understudy.db").write_bytes(b"this is no database" * 500)
    assert "restore it from a backup" in finding(understudy, "database", "broken")


def test_a_database_with_loose_ends(understudy: Understudy, settings: Settings) -> None:
    leave_loose_ends(settings)
    assert "points at nothing" in finding(understudy, "database", "broken")


@pytest.mark.parametrize(
    ("name", "value", "part", "fix"),
    [
        ("BUS__URL", "redis://localhost", "bus", "leave it empty"),
        ("BRAIN__PROVIDER", "oracle", "brain", "oracle"),
        ("PERSONA__DEFAULT", "nobody", "personas", "use one of default"),
        ("AUTH__SECRET", "short", "auth", "use at least 32 characters"),
        ("STORAGE__URL", "mysql://localhost/x", "database", "use sqlite"),
    ],
)
def test_what_is_broken_is_told_with_its_fix(
    understudy: Understudy,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    part: str,
    fix: str,
) -> None:
    monkeypatch.setenv(f"UNDERSTUDY_{name}", value)
    assert fix in finding(understudy, part, "broken")
    assert "✗" in understudy("doctor").stdout


def test_a_data_directory_that_is_a_file(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    (workplace / "file").touch()
    monkeypatch.setenv("UNDERSTUDY_SERVER__DATA_DIR", "file/below")
    assert "is not a folder: choose one with --data" in finding(understudy, "data", "broken")


def test_a_data_directory_that_may_not_be_written(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not hold back root, which tests may run as.
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert "is not writable: choose one with --data" in finding(understudy, "data", "broken")


def test_a_disk_that_is_nearly_full(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_MIN_FREE_BYTES", 2**80)
    assert "make room" in finding(understudy, "data", "warning")


def test_a_persona_file_with_a_mistake(understudy: Understudy, settings: Settings) -> None:
    folder = settings.data_dir / "personas"
    folder.mkdir(parents=True)
    (folder / "grumpy.yaml").write_text("title: Grumpy\n")
    detail = finding(understudy, "personas", "warning")
    assert "grumpy.yaml" in detail
    assert "system_prompt" in detail


def test_a_server_that_others_reach(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_SERVER__HOST", "0.0.0.0")
    assert "understudy token" in finding(understudy, "auth", "ok")
    monkeypatch.setenv("UNDERSTUDY_AUTH__REQUIRED", "false")
    assert "set auth.required" in finding(understudy, "auth", "warning")


def test_the_web_app_is_looked_for(
    understudy: Understudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("understudy.web.dist_folder", lambda: tmp_path)
    assert "make run" in finding(understudy, "web app", "warning")
    (tmp_path / "index.html").touch()
    assert finding(understudy, "web app", "ok") == "built"
