"""Finds the moments of one channel whose reactions are looked at, and looks when their time is up.

Owns which moments there are and what masks them. It is told of events and of the time, and does no
I/O, so a live chat and a simulated one come to the same. Does not own the windows (`room`), what
moments are worth (`rewards`) nor where they are stored (`audience`).
"""

import zlib
from collections import deque

import msgspec

from understudy.engine.known_events import KnownEvents
from understudy.events import ChatMessage, Decision, Event, Moderation, Reply, StreamEvent
from understudy.learning.reactions.rewards import PLACEBO_ID, Kind, Moment
from understudy.learning.reactions.room import REACTS_UNTIL_MS, Room

FEWEST_CHATTERS = 3
"""Chatters around, below which a reaction may be one person's whim."""
LATE_MS = 1_000
"""Messages may come this much after others with later times."""
PLACEBO_MS = 45_000
PLACEBO_JITTER_MS = 30_000
_PENDING = 1_000
_REPLIES = 64


class _Pending(msgspec.Struct, frozen=True):
    id: str
    ts: int
    kind: Kind
    status: str = "complete"


class ReactionMeter:
    """The moments of one channel."""

    def __init__(self, channel: str, room: Room) -> None:
        self.channel = channel
        self.room = room
        self._events = KnownEvents()
        # A flood of replies would be no chat; of those waiting the oldest is given up.
        self._pending: deque[_Pending] = deque(maxlen=_PENDING)
        self._replies: deque[int] = deque(maxlen=_REPLIES)
        self._next_placebo: int | None = None

    def receive(self, event: Event) -> None:
        """Take in the next event of the channel."""
        if self._next_placebo is None:
            self._plan_placebo(event.ts)
        if isinstance(event, ChatMessage):
            self.room.hear(event)
        elif isinstance(event, StreamEvent):
            self._events.note(event)
        elif isinstance(event, Moderation):
            self.room.take_back(event)
        elif isinstance(event, Decision) and event.reason == "silent_control":
            self._pending.append(_Pending(event.message_id, event.ts, "control"))
        elif isinstance(event, Reply) and event.text.strip():
            self._replies.append(event.ts)
            self._pending.append(_Pending(event.turn, event.ts, "reply", event.status))

    def advance(self, now: int) -> list[Moment]:
        """The moments whose reaction is over at `now` (ms of the channel's own time)."""
        while self._next_placebo is not None and self._next_placebo <= now:
            at = self._next_placebo
            self._pending.append(_Pending(f"{PLACEBO_ID}{self.channel}_{at}", at, "placebo"))
            # After a pause there is nothing to look at in between.
            self._plan_placebo(max(at, now - REACTS_UNTIL_MS))
        due = [each for each in self._pending if _ends(each) <= now]
        if due:
            self._pending = deque((p for p in self._pending if _ends(p) > now), maxlen=_PENDING)
        return [moment for each in due if (moment := self._look(each)) is not None]

    def due_at(self) -> int | None:
        """When `advance` next has something to tell for sure; None while nothing waits."""
        return min(map(_ends, self._pending), default=None)

    def _look(self, pending: _Pending) -> Moment | None:
        masked_by = self._mask(pending)
        # Moments drawn without a reason are plenty: what says nothing need not be kept.
        if pending.kind == "placebo" and masked_by:
            return None
        return Moment(
            id=pending.id,
            channel=self.channel,
            ts=pending.ts,
            kind=pending.kind,
            features=self.room.features(pending.ts),
            signals=self.room.signals(pending.ts),
            masked_by=masked_by,
        )

    def _mask(self, pending: _Pending) -> str:
        """Why the reaction says nothing; empty when it does."""
        if events := self._events.around(pending.ts):
            return ",".join(events)
        if pending.status != "complete":
            return "interrupted"
        if self.room.chatters(pending.ts) < FEWEST_CHATTERS:
            return "few_chatters"
        # Chances left out on purpose may have replies near them, as replies have: that is fair.
        near = any(abs(at - pending.ts) <= REACTS_UNTIL_MS for at in self._replies)
        return "reply" if near and pending.kind == "placebo" else ""

    def _plan_placebo(self, after: int) -> None:
        jitter = zlib.crc32(f"{self.channel}{after}".encode("utf-8", "replace"))
        self._next_placebo = after + PLACEBO_MS + jitter % PLACEBO_JITTER_MS


def _ends(pending: _Pending) -> int:
    return pending.ts + REACTS_UNTIL_MS + LATE_MS
