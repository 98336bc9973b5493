"""A brain that plays back tapes, so that tests decide what every attempt at it comes to."""

import asyncio
from collections.abc import AsyncGenerator

from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Text

Sound = str | BrainEvent | Exception | None
"""What is on a tape: text, an event, an error that is raised, or None for silence without end."""

Tape = list[Sound]


class RecordedBrain(Brain):
    """Plays the next tape for each request, the last one for ever."""

    def __init__(self, *tapes: Tape, name: str = "recorded", model: str = "tape") -> None:
        self.name = name
        self.model = model
        self.tapes = tapes
        self.requests: list[BrainRequest] = []
        self.asked = asyncio.Event()
        self.stopped = 0
        self.closed = False

    def describe(self) -> str:
        return "A recording."

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        tape = self.tapes[min(len(self.requests), len(self.tapes) - 1)]
        self.requests.append(request)
        self.asked.set()
        try:
            for sound in tape:
                match sound:
                    case None:
                        await asyncio.Event().wait()
                    case Exception():
                        raise sound
                    case str():
                        yield Text(sound)
                    case event:
                        yield event
        finally:
            self.stopped += 1

    async def aclose(self) -> None:
        self.closed = True


def down(retry_after: float | None = None) -> BrainError:
    """The error of a provider that cannot be reached."""
    return BrainError("the model cannot be reached", kind="unavailable", retry_after=retry_after)


def wrong_key() -> BrainError:
    return BrainError("the key is not accepted: check it", kind="unauthorized")
