"""The Swift example: compiled and held to the recorded frames where there is a compiler."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.client.contract import FOLDER

SWIFT = Path(__file__).resolve().parent.parent.parent / "examples" / "swift"
SWIFTC = shutil.which("swiftc")


@pytest.mark.skipif(SWIFTC is None, reason="no Swift compiler on this machine")
@pytest.mark.timeout(600)
def test_it_reads_the_recorded_streams(tmp_path: Path) -> None:
    assert SWIFTC is not None
    program = tmp_path / "check"
    sources = [SWIFT / "Understudy.swift", SWIFT / "check.swift"]
    subprocess.run([SWIFTC, "-parse-as-library", *sources, "-o", program], check=True)
    result = subprocess.run([program, FOLDER / "streams"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_it_streams_truly() -> None:
    """What a reader can see without a compiler: it reads bytes as they come, and resumes."""
    text = (SWIFT / "Understudy.swift").read_text(encoding="utf-8")
    assert "URLSession.shared.bytes(" in text
    assert "Last-Event-ID" in text
