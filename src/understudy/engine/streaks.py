"""Streaks of a chat: many viewers who send the same emote or the same word in a row.

Owns what belongs to a streak. Does not own the clock: it is told the time. Other messages may come
in between, as they do in any busy chat; a streak ends when nobody joins it for `GAP_MS`.
"""

from collections import OrderedDict

import msgspec

GAP_MS = 10_000
"""A streak that nobody joins for so long is over."""
LEAST_VIEWERS = 3
"""Viewers it takes to make a streak."""
MAX_RUNNING = 256
"""Words that may become a streak at the same time; the one that rests longest gives way."""
MAX_VIEWERS = 5_000
"""Viewers of a streak that are told apart."""
MAX_CHARS = 200
"""A longer message is no streak."""

_EDGES = ".,!?~*\"'"


class Streak(msgspec.Struct, frozen=True):
    """What was sent, by how many viewers, in how many messages, from when to when (ms UTC)."""

    text: str
    viewers: int
    messages: int
    started: int
    last: int


class _Run:
    """Messages with the same text so far."""

    def __init__(self, text: str, now: int) -> None:
        self.text = text
        self.started = self.last = now
        self.messages = 0
        self.viewers: set[str] = set()

    def join(self, user: str, now: int) -> None:
        """Another message."""
        self.last = now
        self.messages += 1
        if len(self.viewers) < MAX_VIEWERS:
            self.viewers.add(user)

    def streak(self) -> Streak:
        """What it is so far."""
        return Streak(self.text, len(self.viewers), self.messages, self.started, self.last)


class Streaks:
    """The streaks of one channel."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._longest: _Run | None = None

    @property
    def longest(self) -> Streak | None:
        """The one with most viewers since the start, the first of equals."""
        return self._longest.streak() if self._longest else None

    def note(self, text: str, user: str, now: int) -> None:
        """Take in a message of `user`; `now` never goes back."""
        token = repeated_token(text)
        if token is None:
            return
        key = token.casefold()
        run = self._runs.get(key)
        if run is None or now - run.last > GAP_MS:
            run = self._runs[key] = _Run(token, now)
        run.join(user, now)
        self._runs.move_to_end(key)
        if len(self._runs) > MAX_RUNNING:
            self._runs.popitem(last=False)
        viewers = len(run.viewers)
        if viewers >= LEAST_VIEWERS and (
            self._longest is None or viewers > len(self._longest.viewers)
        ):
            self._longest = run

    def going(self, now: int) -> list[Streak]:
        """The streaks that go on, those with most viewers first."""
        going = [
            run.streak()
            for run in self._runs.values()
            if len(run.viewers) >= LEAST_VIEWERS and now - run.last <= GAP_MS
        ]
        return sorted(going, key=lambda streak: (-streak.viewers, streak.started))


def repeated_token(text: str) -> str | None:
    """The one token `text` consists of, however often; None when there are others."""
    if len(text) > MAX_CHARS:
        return None
    first, _, rest = text.strip().partition(" ")
    token = first.strip(_EDGES) or first
    folded = token.casefold()
    for other in rest.split():
        if (other.strip(_EDGES) or other).casefold() != folded:
            return None
    return token or None
