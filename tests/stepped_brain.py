"""A brain that says one word when it is told to, so that tests decide when a reply is where."""

import asyncio
from collections.abc import AsyncGenerator

from understudy.brains.base import Brain, BrainEvent, BrainRequest, Text, Usage


class SteppedBrain(Brain):
    """Says `word1 word2 …` for each request, a word for each permit."""

    name = "stepped"
    model = "stepped-1"

    def __init__(self, words: int = 5) -> None:
        self.words = words
        self.requests: list[BrainRequest] = []
        self.cancelled: list[str] = []
        self.error: Exception | None = None
        self._permits: dict[str, asyncio.Semaphore] = {}
        self.free = False
        self.mark = ""

    def describe(self) -> str:
        return "says a word when told to"

    def permit(self, key: str, words: int = 1) -> None:
        """Let the reply in session `key` say `words` more words."""
        for _ in range(words):
            self._permit(key).release()

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        self.requests.append(request)
        try:
            for number in range(self.words):
                if not self.free:
                    await self._permit(request.key).acquire()
                if self.error is not None:
                    raise self.error
                yield Text(f"{' ' if number else ''}word{number + 1}{self.mark}")
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(request.key)
            raise
        yield Usage(input_tokens=3, output_tokens=self.words)

    def _permit(self, key: str) -> asyncio.Semaphore:
        return self._permits.setdefault(key, asyncio.Semaphore(0))
