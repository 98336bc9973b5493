from collections.abc import Callable
from typing import Any

import pytest

from understudy.brains.base import Brain, BrainMessage, BrainRequest, Text


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Ask a brain one thing and get the whole reply."""

    async def ask_brain(brain: Brain, text: str = "", **fields: Any) -> str:
        fields.setdefault("messages", [BrainMessage("user", text)])
        fields.setdefault("key", "talk")
        request = BrainRequest(text=text, **fields)
        return "".join([e.text async for e in brain.stream(request) if isinstance(e, Text)])

    return ask_brain
