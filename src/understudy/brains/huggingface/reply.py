"""A reply on its way from the model's thread to the event loop that waits for it.

Owns the crossing: tokens are handed over together, once a step. Does not own what is in them.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable

from understudy.brains.base import BrainError, BrainEvent, BrainRequest, Finish, Text, Usage

Delivery = BrainEvent | BrainError


class Reply:
    """A request and the mailbox of its answer; made on the event loop that reads it.

    The thread only reads `request`, `version` and `cancelled`; events come through `Post`.
    """

    def __init__(self, request: BrainRequest, version: str) -> None:
        self.request = request
        self.version = version
        self.cancelled = False
        self.loop = asyncio.get_running_loop()
        self._arrived: list[Delivery] = []
        self._news = asyncio.Event()

    def deliver(self, event: Delivery) -> None:
        """Put an event into the mailbox; on the event loop only."""
        self._arrived.append(event)
        self._news.set()

    async def events(self) -> AsyncGenerator[BrainEvent, None]:
        """The answer until its `Usage`; texts that waited together come as one."""
        while True:
            await self._news.wait()
            self._news.clear()
            arrived, self._arrived = self._arrived, []
            for event in _join_texts(arrived):
                if isinstance(event, BrainError):
                    raise event
                yield event
                if isinstance(event, Usage):
                    return


class Post:
    """Collects what a step says to whom, and wakes each event loop once."""

    def __init__(self) -> None:
        self._bags: dict[asyncio.AbstractEventLoop, list[tuple[Reply, Delivery]]] = {}

    def add(self, reply: Reply, *events: Delivery) -> None:
        """Take events for a reply."""
        bag = self._bags.setdefault(reply.loop, [])
        bag.extend((reply, event) for event in events)

    def send(self) -> None:
        """Hand everything over. A loop that is closed reads nothing: its replies end."""
        bags, self._bags = self._bags, {}
        for loop, bag in bags.items():
            try:
                loop.call_soon_threadsafe(_empty, bag)
            except RuntimeError:
                for reply, _ in bag:
                    reply.cancelled = True


def ending(reason: str, read: int, written: int) -> tuple[Finish, Usage]:
    """The last two events of a reply; `reason` is `stop` or `length`."""
    finish = Finish("length") if reason == "length" else Finish("stop")
    return finish, Usage(input_tokens=read, output_tokens=written)


def _empty(bag: list[tuple[Reply, Delivery]]) -> None:
    for reply, event in bag:
        reply.deliver(event)


def _join_texts(events: Iterable[Delivery]) -> list[Delivery]:
    joined: list[Delivery] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Text) and isinstance(last, Text):
            joined[-1] = Text(last.text + event.text)
        else:
            joined.append(event)
    return joined
