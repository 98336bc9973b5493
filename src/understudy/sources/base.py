"""The interface of every source of events.

Owns the protocol only. One file beside this one holds one implementation.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from understudy.events import Event

Publish = Callable[[Event], Awaitable[None]]
"""Hands one event on; waiting for it is the source's back-pressure."""


class Source(Protocol):
    """Something that produces events: a chat connection, a recording, a microphone."""

    @property
    def name(self) -> str:
        """Short stable name for logs and status, such as `rehearsal`."""
        ...

    async def run(self, publish: Publish) -> None:
        """Publish events in order of time until there are no more or the task is cancelled."""
        ...

    def describe(self) -> str:
        """One line for people: what it reads and from where, without secrets."""
        ...

    def problems(self) -> list[str]:
        """What keeps it from reading, one sentence each with what to do; empty when all is well."""
        ...
