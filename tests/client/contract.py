"""Reads the recorded frames of `tests/contract`."""

from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).resolve().parent.parent / "contract"


def cases(folder: str) -> dict[str, dict[str, Any]]:
    """The recorded cases of a folder by name."""
    return {
        path.stem: msgspec.json.decode(path.read_bytes())
        for path in sorted((FOLDER / folder).glob("*.json"))
    }


def parts(case: dict[str, Any]) -> list[bytes]:
    """The bytes of each connection of a stream."""
    return [(FOLDER / "streams" / name).read_bytes() for name in case["parts"]]
