"""The model server behind every relay: the fake OpenAI of the tests, which also keeps times.

Beside chat completions it answers

    POST /bench/reply   a `Say`: what it says from now on
    GET  /bench/log     the requests under way, and those ended since the last look

A request is known by the last `Question <number>` in it. Times are nanoseconds of CLOCK_MONOTONIC,
which all processes of a machine share.
"""

import argparse
import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec
import uvloop
from relay_words import word

from tests.fakes.http_server import Exchange, Request
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.scripts import Reply

STAMPED = 3
_NUMBER = re.compile(rb"Question (\d+)")


class Say(msgspec.Struct, frozen=True):
    """What it says: `tokens` of at least `size` characters, `pace` and `think` in seconds."""

    tokens: int = 20
    pace: float = 0.05
    think: float = 0.05
    size: int = 0
    breaks_after: int | None = None


class Asked(msgspec.Struct):
    """A request: when it came, when its first tokens were sent, and when its client left early."""

    number: int
    came: int
    sent: list[int] = []
    taken: int = 0
    left: int = 0
    ended: bool = False


class Stamped(Sequence[str]):
    """Tokens that note when they are fetched: the one before has just been sent by then."""

    def __init__(self, words: list[str], asked: Asked) -> None:
        self._words, self._asked = words, asked

    def __len__(self) -> int:
        return len(self._words)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._words[index]

    def __iter__(self) -> Iterator[str]:
        for number, token in enumerate(self._words):
            if 0 < number <= STAMPED:
                self._asked.sent.append(time.monotonic_ns())
            self._asked.taken += 1
            yield token
        self._asked.ended = True


class Upstream(OpenAIServer):
    """The fake OpenAI, with a log and a script that can be changed from outside."""

    def __init__(self) -> None:
        super().__init__(self._reply, models=["bench"])
        self._log: dict[int, Asked] = {}
        self._say(Say())

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        if request.path == "/bench/reply":
            self._say(msgspec.json.decode(request.body, type=Say))
            _respond(exchange, {})
        elif request.path == "/bench/log":
            _respond(exchange, list(self._log.values()))
            self._log = {number: asked for number, asked in self._log.items() if not asked.ended}
            self.requests.clear()
        else:
            await super().answer(exchange)

    def closed(self, connection: Any, exchange: Exchange | None) -> None:
        """Note when a client left before its answer was complete."""
        if exchange is not None and not exchange.complete:
            asked = self._log[_number(exchange.request)]
            asked.left, asked.ended = time.monotonic_ns(), True
        super().closed(connection, exchange)

    def _say(self, say: Say) -> None:
        padding = " considerably" * (say.size // 13)
        self._words = [word(number) + padding for number in range(say.tokens)]
        self._what = say

    def _reply(self, request: Request) -> Reply:
        asked = Asked(_number(request), time.monotonic_ns())
        self._log[asked.number] = asked
        what = self._what
        return Reply(
            Stamped(self._words, asked),
            think=what.think,
            pace=what.pace,
            breaks_after=what.breaks_after,
            trouble="reset",
        )


def _number(request: Request) -> int:
    return int(_NUMBER.findall(request.body)[-1])


def _respond(exchange: Exchange, value: object) -> None:
    exchange.respond(200, msgspec.json.encode(value), {}, content_type="application/json")


async def serve(port: int) -> None:
    server = Upstream()
    await server.start(port)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
