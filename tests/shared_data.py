"""Finds the test vectors that other projects made: they are read where they lie, never copied."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


def shared_data(name: str) -> Path:
    """The file or folder `name` below `shared/data`; skips the test where there is none.

    Looked for in `$UNDERSTUDY_SHARED_DATA` and beside each folder above the checkout.
    """
    for folder in _folders():
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"{name} is not here: set UNDERSTUDY_SHARED_DATA to the folder that holds it")


def _folders() -> Iterator[Path]:
    if given := os.environ.get("UNDERSTUDY_SHARED_DATA"):
        yield Path(given)
        return
    checkouts = [_ROOT]
    if (_ROOT / ".git").is_file():
        # A second work tree: its file names the folder of the first.
        checkouts.append(Path((_ROOT / ".git").read_text().removeprefix("gitdir:").strip()))
    for checkout in checkouts:
        yield from (folder / "shared" / "data" for folder in checkout.parents)
