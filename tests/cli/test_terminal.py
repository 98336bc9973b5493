import contextlib
import os
import sys

import pytest

from tests.serving import settings_for
from understudy.brains.base import BrainError
from understudy.cli.terminal import (
    CommandFailed,
    missing_database,
    need_database,
    print_json,
    progress_bar,
    run,
)
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.training.errors import TrainingError
from understudy.learning.versions.errors import VersionError
from understudy.storage.errors import LogUnavailable


async def fail_with(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        BrainError("no brain"),
        LogUnavailable("no disk"),
        DatasetError("no rows"),
        TrainingError("no base"),
        VersionError("no version"),
    ],
)
def test_errors_people_can_mend_become_a_sentence(error: Exception) -> None:
    with pytest.raises(CommandFailed, match=str(error)):
        run(fail_with(error))


def test_mistakes_of_the_program_come_through() -> None:
    with pytest.raises(ZeroDivisionError):
        run(fail_with(ZeroDivisionError()))


def read_to_the_end(terminal: int) -> str:
    pieces: list[bytes] = []
    # Linux ends a terminal that was hung up with an error instead of an empty read.
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 65_536):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()


def test_a_bar_is_drawn_only_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    person, program = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(program, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with progress_bar("quiet", quiet=True) as advance:
            advance(1, 2)
        with progress_bar("counting") as advance:
            advance(3, 4)
        monkeypatch.undo()
    drawn = read_to_the_end(person)
    assert "counting" in drawn
    assert "3/4" in drawn
    assert "quiet" not in drawn


def test_no_bar_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("counting") as advance:
        advance(3, None)
    assert capsys.readouterr().err == ""


def test_json_is_one_document_in_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "김철수 🎉"})
    assert capsys.readouterr().out == '{\n  "name": "김철수 🎉"\n}\n'


def test_a_missing_database_is_told_from_one_that_is_elsewhere(tmp_path) -> None:
    file = tmp_path / "here.db"
    absent = settings_for(tmp_path, storage__url=f"sqlite+aiosqlite:///{file}?timeout=3")
    assert missing_database(absent) == file
    with pytest.raises(CommandFailed, match=r"there is no database at .*here\.db: check --data"):
        need_database(absent)
    file.touch()
    assert missing_database(absent) is None
    need_database(absent)
    remote = settings_for(tmp_path, storage__url="postgresql+asyncpg://db.example/understudy")
    assert missing_database(remote) is None
