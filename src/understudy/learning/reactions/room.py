"""What a room does before and after a moment: how much is written, laughed, said to the co-host.

Owns the windows and what counts in them: one viewer has one voice for each signal, bots and the
co-host itself have none, and what is copied counts once. Does not own what is expected of a room
(`expected`) nor what follows from it (`rewards`).
"""

import math
from collections import deque
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import NamedTuple

from understudy.engine.addressing import AddressReader
from understudy.events import ChatMessage, Moderation
from understudy.learning.reactions.laughter import LaughReader
from understudy.learning.reactions.votes import VoteReader
from understudy.mood.copies import Copies

SIGNALS = ("laugh", "addressed", "votes", "sentiment")
FEATURES = 7
"""How many numbers tell what a room was like before a moment."""
REACTS_FROM_MS = 2_000
REACTS_UNTIL_MS = 17_000
"""The window in which a room reacts, after the reply has ended."""
BEFORE_MS = 30_000
JUST_BEFORE_MS = 5_000
PRESENT_MS = 300_000
"""How far back somebody who wrote is still in the room."""
MAX_HEARD = 20_000
"""Messages that are remembered of a room."""
_COPIES_MS = 60_000.0
_HOUR_MS = 3_600_000
_LONG_STREAM_HOURS = 12.0


class _Heard(NamedTuple):
    """A message as far as it counts; `counts` is false for copies, whose signals are left out."""

    id: str
    ts: int
    viewer: str
    laughs: bool
    addressed: bool
    vote: int
    score: float
    counts: bool


class Room:
    """The newest messages of one channel, in the order of their times."""

    def __init__(
        self,
        reader: AddressReader,
        *,
        bots: Collection[str] = (),
        command_prefix: str = "!",
        score: Callable[[str], float],
        laughs: LaughReader,
    ) -> None:
        """`score` is the sentiment of a text from -1 to 1."""
        self._reader = reader
        self._bots = {bot.casefold() for bot in bots}
        self._prefix = command_prefix or "/"
        self._votes = VoteReader(command_prefix, reader)
        self._score = score
        self._laughs = laughs
        self._copies = Copies(_COPIES_MS)
        self._heard: deque[_Heard] = deque(maxlen=MAX_HEARD)
        self._began: int | None = None

    def hear(self, message: ChatMessage) -> None:
        """Take in a message; those of bots, of the co-host and blocked ones do not count."""
        if message.blocked or self.is_none_of_the_audience(message):
            return
        if self._began is None:
            self._began = message.ts
        vote = self._votes.read(message)
        is_command = message.text.startswith((self._prefix, "/"))
        if is_command and not vote:
            return
        self._reader.meet(message)
        copied = self._copies.count(message.text, message.ts) >= 1
        self._heard.append(
            _Heard(
                id=message.id,
                ts=message.ts,
                viewer=message.user.casefold(),
                laughs=not vote and self._laughs.laughs(message.text),
                addressed=not vote and self._reader.read(message).to_cohost,
                vote=vote,
                score=0.0 if vote else self._score(message.text),
                counts=not copied,
            )
        )
        while self._heard[0].ts < message.ts - PRESENT_MS - REACTS_UNTIL_MS:
            self._heard.popleft()

    def is_none_of_the_audience(self, message: ChatMessage) -> bool:
        """Whether a message is a bot's or the co-host's own."""
        return message.user.casefold() in self._bots or self._reader.is_cohost(message.user)

    def take_back(self, act: Moderation) -> None:
        """Forget what a moderator removed."""

        def stays(heard: _Heard) -> bool:
            match act.kind:
                case "delete":
                    return heard.id != act.message_id
                case "clear":
                    return False
                case _:
                    return heard.viewer != act.user.casefold()

        self._heard = deque(filter(stays, self._heard), maxlen=MAX_HEARD)

    def chatters(self, at: int) -> int:
        """How many people wrote in the five minutes before `at` (ms) or reacted after it."""
        begin, end = at - PRESENT_MS, at + REACTS_UNTIL_MS
        return len({heard.viewer for heard in self._heard if begin <= heard.ts <= end})

    def features(self, at: int) -> list[float]:
        """What the room was like before `at` (ms), as `FEATURES` numbers of about the same size."""
        before = self._between(at - BEFORE_MS, at - 1)
        just_before = [heard for heard in before if heard.ts >= at - JUST_BEFORE_MS]
        moment = datetime.fromtimestamp(at / 1000, UTC)
        age = (at - (self._began if self._began is not None else at)) / _HOUR_MS
        return [
            1.0,
            math.log1p(len(before)),
            math.log1p(len(just_before)),
            math.log1p(sum(heard.laughs for heard in before)),
            math.log1p(sum(heard.laughs for heard in just_before)),
            (moment.hour + moment.minute / 60) / 24,
            min(age, _LONG_STREAM_HOURS) / _LONG_STREAM_HOURS,
        ]

    def signals(self, at: int) -> dict[str, float]:
        """How the room reacted from 2 s to 17 s after `at` (ms), by `SIGNALS`.

        Laughs and messages to the co-host are log(1 + viewers), votes the difference of two such
        numbers, sentiment the mean over viewers from -1 to 1.
        """
        after = [
            heard
            for heard in self._between(at + REACTS_FROM_MS, at + REACTS_UNTIL_MS)
            if heard.counts
        ]
        votes = {heard.viewer: heard.vote for heard in after if heard.vote}
        scores: dict[str, list[float]] = {}
        for heard in after:
            if not heard.vote:
                scores.setdefault(heard.viewer, []).append(heard.score)
        means = [sum(each) / len(each) for each in scores.values()]
        return {
            "laugh": math.log1p(len({heard.viewer for heard in after if heard.laughs})),
            "addressed": math.log1p(len({heard.viewer for heard in after if heard.addressed})),
            "votes": math.log1p(sum(vote > 0 for vote in votes.values()))
            - math.log1p(sum(vote < 0 for vote in votes.values())),
            "sentiment": sum(means) / len(means) if means else 0.0,
        }

    def _between(self, begin: int, end: int) -> list[_Heard]:
        found: list[_Heard] = []
        for heard in reversed(self._heard):
            if heard.ts < begin:
                break
            if heard.ts <= end:
                found.append(heard)
        return found
