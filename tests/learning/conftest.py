from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.learning.building import Place
from tests.learning.logged import address
from understudy.storage.engine import Database


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """An empty log, and a folder to build datasets in."""
    database = await Database.open(address(tmp_path))
    try:
        yield Place(database, tmp_path / "learning")
    finally:
        await database.close()
