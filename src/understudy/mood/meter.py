"""The mood of one chat as a number that moves calmly.

A pure state machine: it is told of scored messages, moderation and time, and says what the mood is.
It does no I/O and reads no clock, so a rehearsal at any speed reads the same. Does not own what a
message sounds like (`lexicon`, `classifier`) nor the history (`rollups`).

The mood is an average in which a message's weight halves every `half_life` seconds, with a fixed
weight of neutral beside it, so that a quiet chat is calm. A viewer is one voice: together the
messages of one never weigh more than `viewer_cap` messages. Copies count ever less.
"""

import math
from collections import OrderedDict

import msgspec

from understudy.events import ChatMessage, Moderation, MoodLabel, MoodReading
from understudy.mood.copies import Copies

MAX_VIEWERS = 20_000
MAX_COUNTED = 5_000
"""Messages that can still be taken back; by then the oldest of a flood weigh next to nothing."""

_EMIT_MS = 250
"""Readings of a channel are at least this far apart."""
_IDLE_MS = 1_000
"""While nobody writes the mood drifts back to neutral in steps of this."""
_NEWS = 0.01
"""Changes smaller than this are not worth a reading."""
_BACK_MS = 60_000
"""A clock that goes back further than this was set; by less, messages came out of order."""
_COPIES_HALF_MS = 60_000.0
_RATE_HALF_MS = 10_000.0
_USUAL_HALF_MS = 600_000.0
_LN2 = math.log(2)
"""A sum that fades by half in h, times ln 2 / h, is the rate of what is added to it."""
_LEAST_RATE = 0.2
"""Voices per second that are taken for usual at least, so that two lines are no uproar."""


class MeterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the meter weighs; times in seconds, weights in messages, moods from 0 to 1."""

    half_life: float = 25.0
    prior: float = 3.0
    """Weight of neutral."""
    viewer_cap: float = 0.8
    neutral_weight: float = 0.5
    """Weight of a message without feeling; one that is all feeling weighs 1."""
    threshold: float = 0.15
    """Where the label is positive or, below zero, negative."""
    hysteresis: float = 0.25
    """Half of it the mood must go beyond the threshold, or come back, before the label changes."""
    bots: tuple[str, ...] = ()
    """Logins that do not count, the co-host's own among them."""
    command_prefixes: tuple[str, ...] = ("!", "/")


class _Voice(msgspec.Struct):
    """What one viewer adds: weighted scores and weights, faded to `at`."""

    at: int
    total: float = 0.0
    weight: float = 0.0


class _Counted(msgspec.Struct, frozen=True):
    """A message as it was counted, so that it can be taken back."""

    user: str
    at: int
    score: float
    weight: float


class Meter:
    """The mood of one channel. All times are milliseconds of any one clock."""

    def __init__(self, channel: str, settings: MeterSettings | None = None) -> None:
        self.channel = channel
        self._settings = settings or MeterSettings()
        self._half_ms = self._settings.half_life * 1000
        self._bots = {bot.casefold() for bot in self._settings.bots}
        self._copies = Copies(_COPIES_HALF_MS)
        self._voices: OrderedDict[str, _Voice] = OrderedDict()
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        # The ids of each viewer's, so that nothing is searched for when they are removed.
        self._ids: dict[str, dict[str, None]] = {}
        self._now = 0
        self._total = 0.0
        self._weight = 0.0
        self._rate = 0.0
        self._usual = 0.0
        self._started: int | None = None
        self._label: MoodLabel = "neutral"
        self._newest = 0.0
        self._shown: MoodReading | None = None
        self._news = False

    @property
    def value(self) -> float:
        """The mood from -1 to 1."""
        value = self._total / (self._weight + self._settings.prior)
        return min(1.0, max(-1.0, value))

    @property
    def label(self) -> MoodLabel:
        """The label, which changes late."""
        return self._label

    @property
    def intensity(self) -> float:
        """From 0 to 1: how many voices there are beside the usual; 0.5 is as usual."""
        rate = self._rate * _LN2 / _RATE_HALF_MS
        usual = max(self._usual_rate(), _LEAST_RATE / 1000)
        return rate / (rate + usual)

    @property
    def shown(self) -> MoodReading | None:
        """The newest reading that was taken."""
        return self._shown

    def counts(self, message: ChatMessage) -> bool:
        """Whether a message is a viewer's word: no bot's, no command, nothing that was blocked."""
        if message.blocked or message.user.casefold() in self._bots:
            return False
        text = message.text.lstrip()
        return bool(text) and not text.startswith(self._settings.command_prefixes)

    def add(self, message: ChatMessage, score: float, now: int) -> bool:
        """Count a message of this `score`; False when it does not count or is counted already."""
        self._pass(now)
        if message.id in self._counted or not self.counts(message):
            return False
        score = min(1.0, max(-1.0, score))
        neutral = self._settings.neutral_weight
        copies = self._copies.count(message.text, self._now)
        weight = (neutral + (1.0 - neutral) * abs(score)) / (1.0 + copies)
        added = self._hear(message.user, score, weight)
        self._rate += added
        self._usual += added
        self._newest = score
        user = message.user.casefold()
        self._counted[message.id] = _Counted(user, self._now, score, weight)
        self._ids.setdefault(user, {})[message.id] = None
        if len(self._counted) > MAX_COUNTED:
            self._uncount(next(iter(self._counted)))
        self._settle()
        return True

    def take_back(self, act: Moderation, now: int) -> list[tuple[int, float]]:
        """Uncount what a moderator removed; returns (time, score) of each message taken back."""
        self._pass(now)
        gone = [self._uncount(id) for id in self._removed_by(act)]
        for counted in gone:
            self._unhear(counted)
        if gone:
            self._settle()
        return [(counted.at, counted.score) for counted in gone]

    def take(self, now: int) -> MoodReading | None:
        """The reading to show now; None when there is no news, or the last one is too fresh."""
        self._pass(now)
        self._settle()
        shown = self._shown
        if not self._news or (shown is not None and self._now - shown.ts < _EMIT_MS):
            return None
        self._news = False
        self._shown = MoodReading(
            id=f"{self.channel}:mood:{self._now}",
            channel=self.channel,
            ts=self._now,
            value=round(self.value, 4),
            label=self._label,
            intensity=round(self.intensity, 4),
            message=round(self._newest, 4),
            count=len(self._counted),
        )
        return self._shown

    def advance(self, now: int) -> list[MoodReading]:
        """Let time pass until `now` and return the readings that fell due meanwhile."""
        readings: list[MoodReading] = []
        while (due := self.wake_at()) is not None and due <= now:
            if (reading := self.take(due)) is not None:
                readings.append(reading)
        return readings

    def wake_at(self) -> int | None:
        """When to call `take` next; None while only a message can change anything."""
        if self._news:
            return max(self._now, self._shown.ts + _EMIT_MS) if self._shown else self._now
        moves = abs(self.value) >= _NEWS or self.intensity >= _NEWS
        return self._now + _IDLE_MS if moves and self._shown else None

    def _pass(self, now: int) -> None:
        """Let time pass; messages out of order count as now."""
        if self._started is None:
            self._started = self._now = now
        passed = now - self._now
        if passed < -_BACK_MS:
            self._rebase(now)
        elif passed > 0:
            self._total *= 0.5 ** (passed / self._half_ms)
            self._weight *= 0.5 ** (passed / self._half_ms)
            self._rate *= 0.5 ** (passed / _RATE_HALF_MS)
            self._usual *= 0.5 ** (passed / _USUAL_HALF_MS)
            self._now = now
            self._forget()

    def _rebase(self, now: int) -> None:
        """The clock was set back: go on from there as if no time had passed."""
        back = self._now - now
        self._now = now
        self._started = (self._started or 0) - back
        self._shown = msgspec.structs.replace(self._shown, ts=now) if self._shown else None
        for voice in self._voices.values():
            voice.at -= back
        moved = (
            (id, msgspec.structs.replace(c, at=c.at - back)) for id, c in self._counted.items()
        )
        self._counted = OrderedDict(moved)

    def _forget(self) -> None:
        """Drop what weighs nothing any more."""
        horizon = self._now - 10 * self._half_ms
        while self._counted and next(iter(self._counted.values())).at < horizon:
            self._uncount(next(iter(self._counted)))
        while self._voices and next(iter(self._voices.values())).at < horizon:
            self._voices.popitem(last=False)
        if not self._voices:
            # Nothing is left, but additions and subtractions leave crumbs.
            self._total = self._weight = 0.0

    def _hear(self, user: str, score: float, weight: float) -> float:
        """Add to a viewer's voice, within the cap; returns by how much it grew."""
        key = user.casefold()
        voice = self._voice(key)
        before, total_before = voice.weight, voice.total
        voice.total += weight * score
        voice.weight += weight
        if voice.weight > self._settings.viewer_cap:
            voice.total *= self._settings.viewer_cap / voice.weight
            voice.weight = self._settings.viewer_cap
        self._total += voice.total - total_before
        self._weight += voice.weight - before
        self._voices.move_to_end(key)
        if len(self._voices) > MAX_VIEWERS:
            # It stays in the sums and fades there.
            self._voices.popitem(last=False)
        return voice.weight - before

    def _removed_by(self, act: Moderation) -> list[str]:
        """The ids of what counts and is removed by `act`, oldest first."""
        if act.kind == "delete":
            return [act.message_id] if act.message_id in self._counted else []
        if act.kind == "clear":
            return list(self._counted)
        return list(self._ids.get(act.user.casefold(), ()))

    def _uncount(self, id: str) -> _Counted:
        counted = self._counted.pop(id)
        ids = self._ids[counted.user]
        del ids[id]
        if not ids:
            del self._ids[counted.user]
        return counted

    def _unhear(self, counted: _Counted) -> None:
        """Take a message out of its viewer's voice; one that has no more of them is silent."""
        voice = self._voices.get(counted.user)
        if voice is None:
            return
        voice = self._voice(counted.user)
        others = counted.user in self._ids
        faded = counted.weight * 0.5 ** (max(0, self._now - counted.at) / self._half_ms)
        part = min(1.0, faded / voice.weight) if others and voice.weight else 1.0
        weight = voice.weight * (1.0 - part)
        total = voice.total - faded * counted.score if others else 0.0
        total = min(weight, max(-weight, total))
        self._total += total - voice.total
        self._weight = max(0.0, self._weight + weight - voice.weight)
        voice.total, voice.weight = total, weight

    def _voice(self, key: str) -> _Voice:
        """A viewer's voice, faded to now."""
        voice = self._voices.setdefault(key, _Voice(self._now))
        faded = 0.5 ** (max(0, self._now - voice.at) / self._half_ms)
        voice.total *= faded
        voice.weight *= faded
        voice.at = self._now
        return voice

    def _usual_rate(self) -> float:
        """Voices per ms over the last while; over what there was of it at the beginning."""
        since = self._now - (self._started if self._started is not None else self._now)
        full = 1.0 - 0.5 ** (max(since, _RATE_HALF_MS) / _USUAL_HALF_MS)
        return self._usual * _LN2 / (_USUAL_HALF_MS * full)

    def _settle(self) -> None:
        """Move the label if the mood went far enough, and notice what is worth a reading."""
        value, edge = self.value, self._settings.hysteresis / 2
        bar = self._settings.threshold
        if self._label != "positive" and value >= bar + edge:
            self._label = "positive"
        elif self._label != "negative" and value <= -bar - edge:
            self._label = "negative"
        elif (self._label == "positive" and value < bar - edge) or (
            self._label == "negative" and value > edge - bar
        ):
            self._label = "neutral"
        self._news = self._news or self._differs(value)

    def _differs(self, value: float) -> bool:
        shown = self._shown
        if shown is None:
            return bool(self._counted)
        return (
            abs(value - shown.value) >= _NEWS
            or abs(self.intensity - shown.intensity) >= _NEWS
            or self._label != shown.label
        )
