"""What else was going on around a moment of the stream: a raid, a sub, a follow.

Owns the memory of a channel's newest stream events. Does not own what is made of it: experiences
name these events, and reactions near one are not put down to a reply (`learning`).
"""

from collections import deque

from understudy.events import StreamEvent

BEFORE_MS = 40_000
"""How long an event moves a chat that has not been answered yet."""
AFTER_MS = 17_000
"""Until when after a moment the chat's reaction to it is looked at."""
_KEPT = 256


class KnownEvents:
    """The newest stream events of one channel, by their time (ms)."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, str]] = deque(maxlen=_KEPT)

    def note(self, event: StreamEvent) -> None:
        """An event happened."""
        self._events.append((event.ts, event.kind))

    def around(self, ts: int) -> list[str]:
        """The kinds of events known by now from 40 s before `ts` to 17 s after it, sorted."""
        begin, end = ts - BEFORE_MS, ts + AFTER_MS
        return sorted({kind for at, kind in self._events if begin <= at <= end})
