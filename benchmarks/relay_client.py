"""The viewers of the relay benchmark: raw sockets that ask, read and take times, and little else.

A viewer keeps one connection, asks as soon as its last answer has ended, and counts the words of
the answer. Times are nanoseconds of CLOCK_MONOTONIC.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

_END = b"\r\n0\r\n\r\n"
_WORD = b"word"
_KEPT = len(_END)
RAMP_SECONDS = 1.0
ANSWER_SECONDS = 120.0

Write = Callable[[int, int], bytes]
"""The request of a viewer (by index) for a question (by number)."""


@dataclass
class Answer:
    """A question and what came of it; `first` is 0 while no token has come."""

    number: int
    asked: int
    first: int = 0
    tokens: int = 0
    ok: bool = False


@dataclass
class Load:
    """What all viewers together saw; `rate` is tokens per second while all were there."""

    answers: list[Answer] = field(default_factory=list)
    tokens: int = 0
    rate: float = 0.0


class Viewer(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer: Answer | None = None
        self._done: asyncio.Future[None] | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._conclude(ok=False)

    async def ask(self, request: bytes, number: int) -> Answer:
        """Send a question; returns when its answer has ended, one way or the other."""
        self._done = asyncio.get_running_loop().create_future()
        self._answer = answer = Answer(number, time.monotonic_ns())
        self._tail = b""
        self.transport.write(request)
        try:
            await asyncio.wait_for(self._done, ANSWER_SECONDS)
        except TimeoutError:
            self.transport.abort()
        return answer

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            return
        if not self._tail and b" 200 " not in data[:16]:
            self._conclude(ok=False)
            self.transport.abort()
            return
        window = self._tail + data
        words = window.count(_WORD) - self._tail.count(_WORD)
        if words:
            if not answer.first:
                answer.first = time.monotonic_ns()
            answer.tokens += words
            self._load.tokens += words
        self._tail = window[-_KEPT:]
        if self._tail == _END:
            self._conclude(ok=True)

    def _conclude(self, *, ok: bool) -> None:
        if self._answer is not None:
            self._answer.ok = ok
            self._answer = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


async def run_load(
    port: int, viewers: int, seconds: float, numbers: "itertools.count[int]", write: Write
) -> Load:
    """`viewers` ask for `seconds`, then their last answers are waited for."""
    loop = asyncio.get_running_loop()
    load = Load()
    begin = loop.time()
    end = begin + RAMP_SECONDS + seconds

    async def view(index: int) -> None:
        await asyncio.sleep(RAMP_SECONDS * index / viewers)
        viewer = None
        while loop.time() < end:
            if viewer is None or viewer.transport.is_closing():
                _, viewer = await loop.create_connection(lambda: Viewer(load), "127.0.0.1", port)
            number = next(numbers)
            load.answers.append(await viewer.ask(write(index, number), number))
        if viewer is not None:
            viewer.transport.abort()

    async def watch() -> None:
        await asyncio.sleep(2 * RAMP_SECONDS)
        before, since = load.tokens, loop.time()
        await asyncio.sleep(end - loop.time())
        load.rate = (load.tokens - before) / (loop.time() - since)

    await asyncio.gather(watch(), *(view(index) for index in range(viewers)))
    return load
