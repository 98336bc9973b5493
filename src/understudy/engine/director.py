"""Chooses which chat messages are answered, and says why each other one is not.

A pure state machine for one channel: it is told of messages, moderation and time, and returns
decisions. Every message it is shown ends in exactly one `Outcome`. It does no I/O and reads no
clock, so a rehearsal at any speed decides the same. Does not speak (`channel`, `turns`).
"""

from collections import OrderedDict

import msgspec

from understudy.config import DirectorSettings
from understudy.engine.addressing import Addressing, AddressReader
from understudy.events import ChatMessage, DecisionAction, Moderation, StreamEvent

MAX_VIEWERS = 1_000
"""Viewers whose last answer is remembered; older ones count as never answered."""
FLOOD = 4
"""From more waiting than this on, the newest of equals comes first: the oldest would grow stale
before its turn whatever is done."""

_ROLE_BONUS = {"streamer": 2.0, "moderator": 0.5, "vip": 0.25, "subscriber": 0.25, "viewer": 0.0}
_EVENT_SCORE = {"raid": 6.0, "gift": 5.0, "sub": 4.5, "resub": 4.5, "cheer": 4.0, "follow": 2.5}
_EVENT_PATIENCE = 4
"""Thanks are welcome this many times as long as an answer."""
_UNADDRESSED = frozenset({"question", "quiet_chat"})
_FIRST_BONUS = 0.5
_QUESTION_BONUS = 0.5
_RECENT_PENALTY = 1.2
_SHARE_PENALTY = 0.3
_MAX_SHARE_PENALTY = 0.6
_SHARE_HALVES_MS = 120_000
"""How fast it is forgotten that a viewer was answered a lot."""


class Candidate(msgspec.Struct, frozen=True):
    """A message or stream event that waits for an answer, from `since` to before `until`."""

    source: ChatMessage | StreamEvent
    reason: str
    detail: str
    score: float
    since: int
    until: int


class Outcome(msgspec.Struct, frozen=True):
    """The final word on one message; becomes a `Decision` event."""

    source: ChatMessage | StreamEvent
    action: DecisionAction
    reason: str
    detail: str
    score: float = 0.0


class _Share(msgspec.Struct):
    """How much of the co-host's attention somebody had: the last time, and a fading count."""

    last: int
    count: float

    def at(self, now: int) -> float:
        return self.count * 0.5 ** (max(0, now - self.last) / _SHARE_HALVES_MS)


class Director:
    """Keeps the waiting candidates of one channel and picks the next one to answer."""

    def __init__(self, settings: DirectorSettings, reader: AddressReader) -> None:
        self._settings = settings
        self._reader = reader
        self._bots = {bot.casefold() for bot in settings.bots}
        self._waiting: dict[str, Candidate] = {}
        # When the first of what waits is let go; None when that must be looked up again.
        self._first_until: int | None = None
        self._answered_somebody = False
        self._patience = int(settings.max_age * 1000)
        self._shares: OrderedDict[tuple[type, str], _Share] = OrderedDict()
        self._speaking = False
        self._free_at = 0
        self._last_message_at: int | None = None
        self.muted = False

    def consider(self, message: ChatMessage, now: int) -> list[Outcome]:
        """Take in a message; returns the outcomes it settles, its own or those it displaces."""
        refusal = self._refusal(message)
        if refusal is not None:
            return [Outcome(message, "skipped", *refusal)]
        quiet = self._is_quiet(now)
        self._last_message_at = now
        self._reader.meet(message)
        if self.muted:
            return [Outcome(message, "skipped", "muted", "The co-host is muted.")]
        reading = self._reader.read(message)
        ground = self._ground(message, reading, quiet)
        if ground is None:
            return [Outcome(message, "skipped", *_why_not(reading))]
        reason, detail, score = ground
        weight = self._weigh(message, score)
        candidate = Candidate(message, reason, detail, weight, now, now + self._patience + 1)
        if self._must_wait(candidate, now):
            return [Outcome(message, "skipped", "cooldown", self._cooldown_detail, candidate.score)]
        return self._enqueue(candidate)

    def consider_event(self, event: StreamEvent, now: int) -> list[Outcome]:
        """Take in a stream event; those without thanks to say are skipped."""
        score = _EVENT_SCORE.get(event.kind)
        if score is None:
            return [Outcome(event, "skipped", "no_template", "There is nothing to say to it.")]
        if self.muted:
            return [Outcome(event, "skipped", "muted", "The co-host is muted.")]
        until = now + self._patience * _EVENT_PATIENCE + 1
        return self._enqueue(
            Candidate(event, "stream_event", f"A {event.kind} deserves thanks.", score, now, until)
        )

    def moderate(self, act: Moderation) -> list[Outcome]:
        """Drop waiting messages that a moderator removed."""
        gone = [c for c in self._waiting.values() if removes(act, c.source)]
        return [
            self._drop(c, "deleted", "A moderator removed it before it was answered.") for c in gone
        ]

    def expire(self, now: int) -> list[Outcome]:
        """Let go of what waited too long, and of talk by a viewer who was answered meanwhile."""
        settled: list[Outcome] = []
        # Looked at only when something can have changed: this runs for every message.
        if not self._answered_somebody and not (self._waiting and self._next_expiry() <= now):
            return settled
        self._answered_somebody = False
        for candidate in list(self._waiting.values()):
            if candidate.until <= now:
                seconds = (candidate.until - candidate.since - 1) / 1000
                detail = f"It waited more than {seconds:g} s behind other messages."
                settled.append(self._drop(candidate, "expired", detail))
            elif self._must_wait(candidate, now):
                settled.append(self._drop(candidate, "cooldown", self._cooldown_detail))
        return settled

    def pick(self, now: int) -> Candidate | None:
        """The best waiting candidate when the co-host may speak now; it is taken off the list."""
        if self._speaking or self.muted or now < self._free_at or not self._waiting:
            return None
        age = 1 if len(self._waiting) > FLOOD else -1
        best = max(
            self._waiting.values(), key=lambda c: (self._current_score(c, now), age * c.since)
        )
        self._remove(best)
        self._speaking = True
        self._remember(best, now)
        return best

    def finished(self, at: int) -> None:
        """The reply ended (or will have ended) at `at`; the cooldown runs from there."""
        self._speaking = False
        self._free_at = at + int(self._settings.cooldown * 1000)

    def wake_at(self) -> int | None:
        """When to call `expire` and `pick` next, None while only an event can change anything."""
        if not self._waiting or self.muted:
            return None
        expiry = self._next_expiry()
        return expiry if self._speaking else min(self._free_at, expiry)

    def settled_by(self) -> int | None:
        """When the last of what waits now is let go at the latest; None when nothing waits."""
        return max((candidate.until for candidate in self._waiting.values()), default=None)

    def dismiss(self, reason: str, detail: str) -> list[Outcome]:
        """Settle everything that still waits, as when the stream ends or the co-host is muted."""
        return [self._drop(c, reason, detail) for c in list(self._waiting.values())]

    def _refusal(self, message: ChatMessage) -> tuple[str, str] | None:
        if self._reader.is_cohost(message.user):
            return "own_message", "It is the co-host's own message."
        if message.user.casefold() in self._bots:
            return "bot", f"{message.user} is a bot."
        prefix = self._settings.command_prefix or "/"
        if message.text.startswith((prefix, "/")):
            return "command", "It is a command, not talk."
        return None

    def _ground(
        self, message: ChatMessage, reading: Addressing, quiet: bool
    ) -> tuple[str, str, float] | None:
        if reading.to_cohost:
            score = 3.0 + (_QUESTION_BONUS if reading.question else 0.0)
            if self._reader.is_cohost(message.reply_to_user):
                return "reply_to_cohost", "It replies to the co-host.", score
            return "mention", "It speaks to the co-host.", score
        if reading.to_other:
            return None
        if reading.question:
            return "question", "It asks the room a question.", 1.0
        if quiet and any(character.isalnum() for character in message.text):
            return "quiet_chat", "The chat was quiet, so small talk is welcome.", 0.5
        return None

    def _weigh(self, message: ChatMessage, score: float) -> float:
        first = _FIRST_BONUS if message.first else 0.0
        return score + _ROLE_BONUS[message.role] + first

    def _current_score(self, candidate: Candidate, now: int) -> float:
        """The score now: who was answered a moment ago, or often lately, stands back for others."""
        share = self._shares.get(_key(candidate))
        if share is None:
            return candidate.score
        often = min(_MAX_SHARE_PENALTY, _SHARE_PENALTY * share.at(now))
        recent = _RECENT_PENALTY if self._is_recent(share, now) else 0.0
        return candidate.score - often - recent

    def _is_recent(self, share: _Share, now: int) -> bool:
        return now - share.last < self._settings.viewer_cooldown * 1000

    def _must_wait(self, candidate: Candidate, now: int) -> bool:
        """Whether it is talk to nobody in particular by a viewer answered a moment ago."""
        share = self._shares.get(_key(candidate))
        unaddressed = candidate.reason in _UNADDRESSED
        return unaddressed and share is not None and self._is_recent(share, now)

    @property
    def _cooldown_detail(self) -> str:
        return f"The viewer was answered less than {self._settings.viewer_cooldown:g} s before."

    def _next_expiry(self) -> int:
        """When the first of what waits is let go; something must be waiting."""
        if self._first_until is None:
            self._first_until = min(candidate.until for candidate in self._waiting.values())
        return self._first_until

    def _enqueue(self, candidate: Candidate) -> list[Outcome]:
        settled = self._supersede(candidate)
        if not self._waiting:
            self._first_until = candidate.until
        elif self._first_until is not None:
            self._first_until = min(self._first_until, candidate.until)
        self._waiting[candidate.source.id] = candidate
        if len(self._waiting) > self._settings.max_waiting:
            now = candidate.since
            weakest = min(
                self._waiting.values(), key=lambda c: (self._current_score(c, now), c.since)
            )
            detail = f"{self._settings.max_waiting} better messages were waiting."
            settled.append(self._drop(weakest, "outranked", detail))
        return settled

    def _supersede(self, candidate: Candidate) -> list[Outcome]:
        """A viewer has one waiting message: a newer one of at least its score replaces it."""
        if isinstance(candidate.source, StreamEvent):
            return []
        rivals = [
            c
            for c in self._waiting.values()
            if isinstance(c.source, ChatMessage)
            and c.source.user == candidate.source.user
            and c.score <= candidate.score
        ]
        return [self._drop(c, "superseded", "The same viewer wrote again.") for c in rivals]

    def _drop(self, candidate: Candidate, reason: str, detail: str) -> Outcome:
        self._remove(candidate)
        return Outcome(candidate.source, "skipped", reason, detail, candidate.score)

    def _remove(self, candidate: Candidate) -> None:
        del self._waiting[candidate.source.id]
        if candidate.until == self._first_until:
            self._first_until = None

    def _remember(self, candidate: Candidate, now: int) -> None:
        self._answered_somebody = True
        key = _key(candidate)
        share = self._shares.get(key)
        self._shares[key] = _Share(now, 1.0 + (share.at(now) if share else 0.0))
        self._shares.move_to_end(key)
        if len(self._shares) > MAX_VIEWERS:
            self._shares.popitem(last=False)

    def _is_quiet(self, now: int) -> bool:
        quiet_ms = self._settings.quiet_after * 1000
        if not quiet_ms or self._last_message_at is None:
            return False
        return now - self._last_message_at >= quiet_ms


def removes(act: Moderation, source: ChatMessage | StreamEvent) -> bool:
    """Whether a moderator's act takes `source` out of the chat."""
    if act.kind == "delete":
        return source.id == act.message_id
    if act.kind == "clear":
        return isinstance(source, ChatMessage)
    return bool(act.user) and source.user.casefold() == act.user.casefold()


def _key(candidate: Candidate) -> tuple[type, str]:
    """Whose share it takes from. Being thanked for a raid is no reason to go unanswered."""
    return type(candidate.source), candidate.source.user


def _why_not(reading: Addressing) -> tuple[str, str]:
    if reading.to_other:
        return "addressed_to_other", "It speaks to somebody else."
    return "not_addressed", "It neither speaks to the co-host nor asks anything."
