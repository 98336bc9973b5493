from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving import Running, running, settings_for


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    """A server with the defaults, except that the scripted brain does not pause."""
    async with running(settings_for(tmp_path)) as server:
        yield server
