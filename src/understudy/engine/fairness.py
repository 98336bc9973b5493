"""How replies are shared out: nobody gets them all, and ordinary viewers get their part.

Owns who was answered when, the largest share of one viewer and the share reserved for viewers
without badge, bits or event. Does not own what is worth an answer (`candidates`).
"""

from collections import Counter, OrderedDict, deque

import msgspec

from understudy.config import DirectorSettings
from understudy.engine.candidates import Candidate

MAX_VIEWERS = 1_000
"""Viewers whose last answer is remembered; older ones count as never answered."""
MAX_REPLIES = 1_000
"""Replies of the window that are remembered, the newest of them."""

_RECENT_PENALTY = 1.2
_OFTEN_PENALTY = 0.3
_MAX_OFTEN_PENALTY = 0.6
_OFTEN_HALVES_MS = 120_000
"""How fast it is forgotten that a viewer was answered a lot."""


class _Attention(msgspec.Struct):
    """What somebody had of the co-host: the last time, and a fading count."""

    last: int
    count: float

    def at(self, now: int) -> float:
        return self.count * 0.5 ** (max(0, now - self.last) / _OFTEN_HALVES_MS)


class Fairness:
    """Remembers the replies of one channel."""

    def __init__(self, settings: DirectorSettings) -> None:
        self._settings = settings
        self._attention: OrderedDict[tuple[type, str], _Attention] = OrderedDict()
        self._replies: deque[tuple[int, str]] = deque()
        self._per_viewer: Counter[str] = Counter()
        # What ordinary viewers have coming; a reply to others is theirs once it is whole.
        self._credit = 0.0

    def owes_ordinary(self, now: int) -> bool:
        """Whether the next reply is due to an ordinary viewer, if one waits."""
        self._forget_old(now)
        share = self._settings.ordinary_share
        return share > 0 and self._credit + share >= 1

    def penalty(self, candidate: Candidate, now: int) -> float:
        """Points off for those who were answered a moment ago, or often lately."""
        had = self._attention.get(_key(candidate))
        if had is None:
            return 0.0
        often = min(_MAX_OFTEN_PENALTY, _OFTEN_PENALTY * had.at(now))
        return often + (_RECENT_PENALTY if self._is_recent(had, now) else 0.0)

    def was_just_answered(self, candidate: Candidate, now: int) -> bool:
        """Whether the author was answered within the viewer's cooldown."""
        had = self._attention.get(_key(candidate))
        return had is not None and self._is_recent(had, now)

    def has_had_share(self, user: str, now: int) -> bool:
        """Whether one more reply would give `user` too large a share of the window."""
        self._forget_old(now)
        had = self._per_viewer.get(user, 0)
        return had > 0 and had + 1 > self._settings.viewer_share * (len(self._replies) + 1)

    def note(self, candidate: Candidate, now: int) -> None:
        """Remember that `candidate` is answered now; the streamer takes from nobody's share."""
        key = _key(candidate)
        had = self._attention.get(key)
        self._attention[key] = _Attention(now, 1.0 + (had.at(now) if had else 0.0))
        self._attention.move_to_end(key)
        if len(self._attention) > MAX_VIEWERS:
            self._attention.popitem(last=False)
        if candidate.lane == "streamer":
            return
        taken = 1.0 if candidate.lane == "ordinary" else 0.0
        credit = self._credit + self._settings.ordinary_share - taken
        self._credit = min(1.0, max(0.0, credit))
        self._replies.append((now, candidate.source.user))
        self._per_viewer[candidate.source.user] += 1
        if len(self._replies) > MAX_REPLIES:
            self._drop_oldest()

    def _is_recent(self, had: _Attention, now: int) -> bool:
        return now - had.last < self._settings.viewer_cooldown * 1000

    def _forget_old(self, now: int) -> None:
        window = self._settings.fair_window * 1000
        while self._replies and now - self._replies[0][0] >= window:
            self._drop_oldest()
        if not self._replies:
            self._credit = 0.0

    def _drop_oldest(self) -> None:
        _, user = self._replies.popleft()
        self._per_viewer[user] -= 1
        if not self._per_viewer[user]:
            del self._per_viewer[user]


def _key(candidate: Candidate) -> tuple[type, str]:
    """Whose attention it takes. Being thanked for a raid is no reason to go unanswered."""
    return type(candidate.source), candidate.source.user
