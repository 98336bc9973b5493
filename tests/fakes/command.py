"""A fake server as a process of its own, so that its cost is not counted where it is used.

    python -m tests.fakes.openai_server --port 9000 --tokens 20 --pace 0.05 --think 0.05

It prints its URL on the first line and serves until it is terminated.
"""

import argparse
import asyncio
from collections.abc import Callable
from typing import Protocol

from tests.fakes.scripts import Reply


class Server(Protocol):
    """A fake server."""

    @property
    def url(self) -> str: ...

    async def start(self, port: int = 0) -> None: ...


def run(make: Callable[[Reply], Server], description: str) -> None:
    """Serve the reply that the command line asks for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tokens", type=int, default=20, help="tokens of each reply")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between tokens")
    parser.add_argument("--think", type=float, default=0.0, help="seconds before the first token")
    given = parser.parse_args()
    words = [f" word{number}" for number in range(given.tokens)]
    server = make(Reply(words, think=given.think, pace=given.pace))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(server, given.port))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(server: Server, port: int) -> None:
    await server.start(port)
    print(server.url, flush=True)
    await asyncio.Event().wait()
