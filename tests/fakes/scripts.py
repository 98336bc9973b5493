"""What a fake provider says, independent of the protocol it says it in.

    Reply(["Hi", " there"])                                     # a good answer
    Reply(["Hi", " there"], think=0.2, pace=0.05)               # 0.2 s before it, 0.05 s a token
    Reply(["a", "b", "c"], breaks_after=2, trouble="reset")     # breaks off after two tokens
    Reply(breaks_after=0, trouble="stall")                      # a 200, then nothing for ever
    Silence()                                                   # not even a status line
    Failure(500)                                                # the provider's own 500
    Failure(429, headers={"retry-after": "2"})
    Failure(200, body=b"<html>", content_type="text/html")

A script is one answer for every request, a sequence of them (the last one repeats), or a function
of the request.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from tests.fakes.http_server import Exchange, Request

Trouble = Literal[
    "stall",  # nothing more comes, the connection stays open
    "reset",  # the connection is reset
    "half_close",  # the sending side is closed without the end of the body
    "end",  # the body ends as it should, but the answer has no end
    "garbage",  # what comes next is not JSON, then the body ends
    "error",  # an error event comes in the stream, then the body ends
]


class Call(msgspec.Struct, frozen=True):
    """A tool call; its arguments are sent in `pieces` parts."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"
    pieces: int = 3


class Reply(msgspec.Struct, frozen=True):
    """An answer token by token, with what goes wrong after `breaks_after` tokens, if anything.

    `think` and `pace` are seconds before the first token and between tokens. `finish` is in the
    words of the provider; empty means its usual one. `write_size` cuts the bytes of the stream
    into writes of that size, so that characters and lines are split.
    """

    tokens: Sequence[str] = ("Hello", " there", "!")
    calls: Sequence[Call] = ()
    finish: str = ""
    think: float = 0.0
    pace: float = 0.0
    breaks_after: int | None = None
    trouble: Trouble = "end"
    error_type: str = ""
    input_tokens: int = 12
    cached_tokens: int = 0
    write_size: int = 0


class Failure(msgspec.Struct, frozen=True):
    """An answer that is no reply; an empty `body` is filled with the provider's usual error.

    `code` and `message` go into that error.
    """

    status: int
    message: str = ""
    code: str = ""
    headers: dict[str, str] = {}
    body: bytes = b""
    content_type: str = "application/json"


class Silence(msgspec.Struct, frozen=True):
    """No answer at all."""


Answer = Reply | Failure | Silence
Script = Answer | Sequence[Answer] | Callable[[Request], Answer]


class Player:
    """Picks the answer to each request out of a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._played = 0

    def next(self, request: Request) -> Answer:
        """The answer to `request`."""
        script = self._script
        if isinstance(script, Reply | Failure | Silence):
            return script
        if callable(script):
            return script(request)
        number = min(self._played, len(script) - 1)
        self._played += 1
        return script[number]


def parts(text: str, count: int) -> list[str]:
    """`text` in at most `count` parts of about the same length."""
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)]


class Writer:
    """Writes a stream's bytes as they are, or in writes of `size` bytes."""

    def __init__(self, exchange: Exchange, size: int) -> None:
        self._exchange = exchange
        self._size = size

    async def write(self, data: bytes) -> None:
        """Send `data`."""
        size = self._size or len(data)
        for start in range(0, len(data), size):
            await self._exchange.write(data[start : start + size])
