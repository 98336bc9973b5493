"""Chooses which chat messages are answered, and says why each other one is not.

A pure state machine for one channel: it is told of messages, moderation and time, and returns
decisions. Every message it is shown ends in exactly one `Outcome`. It does no I/O and reads no
clock, so a rehearsal at any speed decides the same. Does not speak (`channel`, `turns`), and
leaves to others what a message is worth (`candidates`), who says the same (`crowd`), whose turn
it is (`fairness`), when it is quiet (`quiet`) and what events call for (`stream_events`).
"""

from collections.abc import Sequence
from itertools import islice

import msgspec

from understudy.config import DirectorSettings
from understudy.engine.addressing import AddressReader
from understudy.engine.candidates import (
    UNADDRESSED,
    Appraiser,
    Candidate,
    Ground,
    Outcome,
    SkipReason,
    lane_of,
    removes,
    why_not,
)
from understudy.engine.crowd import Crowds, GistReader
from understudy.engine.fairness import Fairness
from understudy.engine.quiet import Quiet
from understudy.engine.stream_events import Reactions, spoken_name
from understudy.engine.topics import Topic
from understudy.events import ChatMessage, Moderation, StreamEvent

FLOOD = 4
"""From more waiting than this on, the newest of equals comes first: the oldest would grow stale
before its turn whatever is done."""
NAMED_PEOPLE = 3
"""People of a crowd that the model is told by name."""

_EVENT_PATIENCE = 4
"""Thanks are welcome this many times as long as an answer."""


class Director:
    """Keeps the waiting candidates of one channel and picks the next one to answer."""

    def __init__(self, settings: DirectorSettings, reader: AddressReader) -> None:
        self._settings = settings
        self._reader = reader
        self._appraiser = Appraiser(settings, reader)
        self._gists = GistReader(reader.cohost)
        self._crowds = Crowds(settings)
        self._topic = Topic()
        self._fairness = Fairness(settings)
        self._quiet = Quiet(settings)
        self._reactions = Reactions(settings.events)
        self._waiting: dict[str, Candidate] = {}
        # When the first of what waits is let go; None when that must be looked up again.
        self._first_until: int | None = None
        self._answered_somebody = False
        self._patience = int(settings.max_age * 1000)
        self._speaking = False
        self._free_at = 0
        self._held_until = 0
        self.muted = False

    def consider(self, message: ChatMessage, now: int) -> list[Outcome]:
        """Take in a message; returns the outcomes it settles, its own or those it displaces."""
        refusal = self._appraiser.refusal(message)
        if refusal is not None:
            return [Outcome(message, "skipped", *refusal)]
        quiet = self._quiet.is_quiet(now)
        self._quiet.heard(message, now)
        self._reader.meet(message)
        if message.role == "streamer":
            self.hear(message.text, now)
        if self.muted:
            return [Outcome(message, "skipped", "muted", "The co-host is muted.")]
        reading = self._reader.read(message)
        ground = self._appraiser.ground(message, reading, quiet)
        if ground is None:
            return [Outcome(message, "skipped", *why_not(reading))]
        return self._admit(message, ground, now)

    def consider_event(self, event: StreamEvent, now: int) -> list[Outcome]:
        """Take in a stream event; those without anything to say to are skipped."""
        points = self._reactions.points(event)
        if not points:
            return [Outcome(event, "skipped", "no_template", "There is nothing to say to it.")]
        if self.muted:
            return [Outcome(event, "skipped", "muted", "The co-host is muted.")]
        candidate = Candidate(
            source=event,
            reason="stream_event",
            detail=f"A {event.kind} deserves thanks.",
            points=points,
            since=now,
            until=now + self._patience * _EVENT_PATIENCE + 1,
            lane="favoured",
            cue=self._reactions.cue(event),
        )
        return self._enqueue(candidate)

    def moderate(self, act: Moderation) -> list[Outcome]:
        """Drop waiting messages that a moderator removed, and who counted to a crowd by them."""
        gone = [c for c in self._waiting.values() if removes(act, c.source)]
        detail = "A moderator removed it before it was answered."
        settled = [self._drop(candidate, "deleted", detail) for candidate in gone]
        self._crowds.remove(act)
        return settled

    def hear(self, text: str, now: int) -> None:
        """Take note of what the co-host or the streamer said: chat about it is relevant."""
        self._topic.hear(self._gists.read(text).words, now)

    def hold(self, until: int) -> None:
        """Pick nothing before `until` (ms), as while the streamer speaks; a newer call replaces
        an older one, so a time in the past ends the hold."""
        self._held_until = until

    def expire(self, now: int) -> list[Outcome]:
        """Let go of what waited too long, and of talk by a viewer who was answered meanwhile."""
        settled: list[Outcome] = []
        # Looked at only when something can have changed: this runs for every message.
        if not self._answered_somebody and not (self._waiting and self._next_expiry() <= now):
            return settled
        self._answered_somebody = False
        for candidate in list(self._waiting.values()):
            if candidate.until <= now:
                settled.append(self._drop(candidate, *self._why_expired(candidate, now)))
            elif self._must_wait(candidate, now):
                settled.append(self._drop(candidate, "cooldown", self._cooldown_detail))
        return settled

    def pick(self, now: int) -> Candidate | None:
        """The candidate to answer when the co-host may speak now; it is taken off the list.

        A `control` is not to be answered: the floor stays free, so pick again.
        """
        if self._speaking or self.muted or now < self._ready_at:
            return None
        best = self._best(now) if self._waiting else self._quiet.speak_up(now)
        if best is None:
            return None
        if best.source.id in self._waiting:
            self._remove(best)
        if best.control and (best.crowd is None or best.crowd.size <= 1):
            return best
        self._speaking = True
        self._answered_somebody = True
        self._fairness.note(best, now)
        return self._with_crowd(best, now)

    def finished(self, at: int) -> None:
        """The reply ended (or will have ended) at `at`; the cooldown runs from there."""
        self._speaking = False
        self._free_at = at + int(self._settings.cooldown * 1000)
        self._quiet.spoke(at)

    def wake_at(self) -> int | None:
        """When to call `expire` and `pick` next, None while only an event can change anything."""
        if self.muted:
            return None
        if self._waiting:
            expiry = self._next_expiry()
            return expiry if self._speaking else min(self._ready_at, expiry)
        due = None if self._speaking else self._quiet.due_at()
        return None if due is None else max(self._ready_at, due)

    def settled_by(self) -> int | None:
        """When the last of what waits now is let go at the latest; None when nothing waits."""
        return max((candidate.until for candidate in self._waiting.values()), default=None)

    def dismiss(self, reason: SkipReason, detail: str) -> list[Outcome]:
        """Settle everything that still waits, as when the stream ends or the co-host is muted."""
        return [self._drop(c, reason, detail) for c in list(self._waiting.values())]

    @property
    def waiting(self) -> int:
        """How many messages and events wait for an answer."""
        return len(self._waiting)

    @property
    def _ready_at(self) -> int:
        return max(self._free_at, self._held_until)

    def _admit(self, message: ChatMessage, ground: Ground, now: int) -> list[Outcome]:
        """Let a message with a ground wait, unless another stands for it."""
        gist = self._gists.read(message.text, message.tags.get("emotes", ""))
        relevance = self._topic.relevance(gist.words, now)
        candidate = Candidate(
            source=message,
            reason=ground.reason,
            detail=ground.detail,
            points=ground.points + self._appraiser.bonus(message, relevance),
            since=now,
            until=now + self._patience + 1,
            lane=lane_of(message),
            control=self._appraiser.is_control(message),
        )
        if self._must_wait(candidate, now):
            return [Outcome(message, "skipped", "cooldown", self._cooldown_detail, candidate.score)]
        crowd = self._crowds.join(message, gist, now)
        if crowd is None:
            return self._enqueue(candidate)
        candidate = msgspec.structs.replace(candidate, crowd=crowd)
        lead = self._waiting.get(crowd.lead)
        if lead is not None and self._stands_for(lead, candidate):
            return [_counted(candidate, lead)]
        settled: list[Outcome] = []
        if lead is not None and lead.source.user != message.user:
            self._remove(lead)
            settled.append(_counted(lead, candidate))
        settled += self._enqueue(candidate)
        if message.id in self._waiting:
            crowd.lead = message.id
        return settled

    def _stands_for(self, lead: Candidate, candidate: Candidate) -> bool:
        """Whether `lead` goes on waiting for both: it is as good, and has time left."""
        if lead.points == candidate.points and lead.source.user != candidate.source.user:
            return 2 * (candidate.since - lead.since) <= self._patience
        return lead.points > candidate.points

    def _best(self, now: int) -> Candidate:
        """The streamer first; then whoever has not had their share; ordinary viewers when due."""
        waiting = list(self._waiting.values())
        pool = [c for c in waiting if c.lane == "streamer"]
        if not pool:
            fair = self._fairness
            pool = [c for c in waiting if not fair.has_had_share(c.source.user, now)] or waiting
            if fair.owes_ordinary(now):
                pool = [c for c in pool if c.lane == "ordinary"] or pool
        age = 1 if len(self._waiting) > FLOOD else -1
        return max(pool, key=lambda c: (self._current_score(c, now), age * c.since))

    def _current_score(self, candidate: Candidate, now: int) -> float:
        """The score now: who was answered a moment ago, or often lately, stands back for others."""
        return candidate.score - self._fairness.penalty(candidate, now)

    def _with_crowd(self, candidate: Candidate, now: int) -> Candidate:
        """The candidate as it is answered: with what its crowd is worth telling, counted anew."""
        crowd = candidate.crowd
        if crowd is None:
            return candidate
        size, points = crowd.size, candidate.score
        others = islice(crowd.others(candidate.source.user), NAMED_PEOPLE)
        names = [spoken_name(name) for name in others]
        crowd.settle(now)
        if size > 1:
            candidate = msgspec.structs.replace(
                candidate,
                detail=f"{candidate.detail[:-1]}, and {size} people say the same.",
                cue=_crowd_cue(size, names),
            )
        return msgspec.structs.replace(candidate, points=points, crowd=None)

    def _must_wait(self, candidate: Candidate, now: int) -> bool:
        """Whether it is talk to nobody in particular by a viewer answered a moment ago."""
        unaddressed = candidate.reason in UNADDRESSED
        return unaddressed and self._fairness.was_just_answered(candidate, now)

    @property
    def _cooldown_detail(self) -> str:
        return f"The viewer was answered less than {self._settings.viewer_cooldown:g} s before."

    def _why_expired(self, candidate: Candidate, now: int) -> tuple[SkipReason, str]:
        if self._fairness.has_had_share(candidate.source.user, now):
            return "fair_share", "The viewer has had their share of the replies lately."
        seconds = (candidate.until - candidate.since - 1) / 1000
        return "expired", f"It waited more than {seconds:g} s behind other messages."

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
            detail = f"{self._settings.max_waiting} better messages were waiting."
            settled.append(self._drop(self._weakest(candidate.since), "outranked", detail))
        return settled

    def _supersede(self, candidate: Candidate) -> list[Outcome]:
        """A viewer has one waiting message: a newer one of at least its worth replaces it."""
        if isinstance(candidate.source, StreamEvent):
            return []
        rivals = [
            c
            for c in self._waiting.values()
            if c.source.user == candidate.source.user
            and isinstance(c.source, ChatMessage)
            and c.points <= candidate.points
        ]
        return [self._drop(c, "superseded", "The same viewer wrote again.") for c in rivals]

    def _weakest(self, now: int) -> Candidate:
        """Who gives way when too many wait: of those who take more than the places they have."""
        waiting = self._waiting.values()
        ordinary = [c for c in waiting if c.lane == "ordinary"]
        reserved = int(self._settings.max_waiting * self._settings.ordinary_share)
        pool = ordinary if len(ordinary) > reserved else []
        if len(waiting) - len(ordinary) > self._settings.max_waiting - reserved:
            pool = pool + [c for c in waiting if c.lane != "ordinary"]
        return min(pool, key=lambda c: (c.lane == "streamer", self._current_score(c, now), c.since))

    def _drop(self, candidate: Candidate, reason: SkipReason, detail: str) -> Outcome:
        self._remove(candidate)
        return Outcome(candidate.source, "skipped", reason, detail, candidate.score)

    def _remove(self, candidate: Candidate) -> None:
        del self._waiting[candidate.source.id]
        if candidate.until == self._first_until:
            self._first_until = None
        if candidate.crowd is not None and candidate.crowd.lead == candidate.source.id:
            candidate.crowd.lead = ""


def _counted(candidate: Candidate, lead: Candidate) -> Outcome:
    name = lead.source.display_name
    detail = f"{name} says the same in a message that waits for all who do."
    return Outcome(candidate.source, "skipped", "crowd", detail, candidate.score)


def _crowd_cue(size: int, names: Sequence[str]) -> str:
    others = ", ".join(names)
    return (
        f"{size} people in the chat say this in much the same words, among them {others}: answer "
        "all of them at once, and say how many they are."
    )
