"""Statistics of one channel's chat: how busy it is, who writes, what they write.

Owns what is counted and how. Does not own where messages come from: it is told of them and of the
time, so the same figures come of a live chat (`live_statistics`), of the archive (the tool
`chat_statistics`) and of a rehearsal. Memory is bounded however busy the chat is.

Recent figures are of the last five minutes, totals of all that was noted. A message that was
blocked counts, but nothing of what it says. Messages that moderators remove later stay counted:
they were written.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable

import msgspec

from understudy.engine.addressing import is_question
from understudy.engine.frequent import FrequentItems, RecentItems
from understudy.engine.streaks import Streak, Streaks
from understudy.engine.windows import MinutePeak, WindowCount
from understudy.events import ChatMessage

RECENT_MS = 300_000
TOP_EMOTES = 20
TOP_WORDS = 10
MAX_CHATTERS = 50_000
"""Chatters of a channel that are told apart; beyond, the figure stays at this number."""

_ROOM = 500
_SLICE_MS = 60_000
_EMOTE_CHARS = 64
_RATE_STEP_MS = 100
_COUNT_STEP_MS = 1_000
_WORD = re.compile(r"[^\W\d_]{3,24}")
# Words that say nothing about what a chat is about, in the languages that Understudy speaks most.
_FUNCTION_WORDS = (
    "the and but for nor yet you your yours she her him his its our they them their who what which "
    "when where why how all any both each few more most some such not only own same than too very "
    "can will just don did does had has have was were been being are with from into about this "
    "that these those there here then now out off over under again that's it's i'm "
    "der die das den dem des ein eine einen einem einer und oder aber für von mit bei aus nach zum "
    "zur ich mir mich dich dir sie wir ihr uns euch sein war ist sind hat habe nicht auch noch nur "
    "schon mal doch wie was wer wenn dann dass"
)

EmoteReader = Callable[[ChatMessage], Iterable[str]]
"""The names of the emotes in a message, one for each time they stand there."""


def no_emotes(_: ChatMessage) -> Iterable[str]:
    """For a chat whose emotes nobody can tell from words."""
    return ()


def with_known_emotes(marked: EmoteReader, is_emote: Callable[[str], bool]) -> EmoteReader:
    """Reads the emotes that the platform marks and, besides, the tokens that `is_emote` knows.

    Platforms do not mark what browser extensions show as emotes.
    """

    def read(message: ChatMessage) -> Iterable[str]:
        found = list(marked(message))
        known = set(found)
        found += [token for token in message.text.split() if token not in known and is_emote(token)]
        return found

    return read


class Rates(msgspec.Struct, frozen=True):
    """Messages per second, over the last second, minute and five minutes."""

    last_second: float
    last_minute: float
    last_five_minutes: float


class RecentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The last five minutes.

    `new_chatters` had not written before since the statistics began, `first_timers` never before
    in this channel, as the platform says. Emotes count each time they stand in a message.
    """

    messages: int
    chatters: int
    new_chatters: int
    first_timers: int
    questions: int
    emotes: dict[str, int]


class TotalFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything since the statistics began; `peak` is the most messages of a clock minute."""

    messages: int
    chatters: int
    first_timers: int
    questions: int
    peak: int
    emotes: dict[str, int]
    longest_streak: Streak | None


class ChatFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a channel at one moment; `since` is when they began (ms UTC)."""

    channel: str
    since: int
    rates: Rates
    recent: RecentFigures
    streaks: list[Streak]
    total: TotalFigures


class ChannelStatistics:
    """Counts the chat of one channel; `ignored` logins, such as bots, are left out."""

    def __init__(
        self,
        channel: str,
        *,
        emotes_of: EmoteReader = no_emotes,
        ignored: Collection[str] = (),
    ) -> None:
        self.channel = channel
        self._emotes_of = emotes_of
        self._ignored = frozenset(login.casefold() for login in ignored)
        self._since = self._now = 0
        self._last_minute = WindowCount(_RATE_STEP_MS, 60_000)
        self._messages = WindowCount(_COUNT_STEP_MS, RECENT_MS)
        self._new = WindowCount(_COUNT_STEP_MS, RECENT_MS)
        self._first = WindowCount(_COUNT_STEP_MS, RECENT_MS)
        self._questions = WindowCount(_COUNT_STEP_MS, RECENT_MS)
        self._chatters: OrderedDict[str, int] = OrderedDict()
        self._known: set[str] = set()
        self._recent_emotes = RecentItems(_ROOM, _SLICE_MS, RECENT_MS // _SLICE_MS)
        self._all_emotes = FrequentItems(_ROOM)
        self._streaks = Streaks()
        self._peak = MinutePeak()

    def note(self, message: ChatMessage, now: int) -> None:
        """Take in a message that came at `now` (ms)."""
        if message.user in self._ignored:
            return
        now = self._advance(now)
        self._last_minute.add(now)
        self._messages.add(now)
        self._peak.note(now)
        self._meet(message.user, now)
        if message.first:
            self._first.add(now)
        if message.blocked:
            return
        if is_question(message.text):
            self._questions.add(now)
        if emotes := [name[:_EMOTE_CHARS] for name in self._emotes_of(message)]:
            self._recent_emotes.add(emotes, now)
            self._all_emotes.add(emotes)
        self._streaks.note(message.text, message.user, now)

    def figures(self, now: int) -> ChatFigures:
        """The statistics at `now` (ms)."""
        now = self._advance(now) if self._messages.total else now
        return ChatFigures(
            channel=self.channel,
            since=self._since,
            rates=self._rates(now),
            recent=RecentFigures(
                messages=self._messages.last(now),
                chatters=self._recent_chatters(now),
                new_chatters=self._new.last(now),
                first_timers=self._first.last(now),
                questions=self._questions.last(now),
                emotes=_top(self._recent_emotes.counts(now), TOP_EMOTES),
            ),
            streaks=self._streaks.going(now),
            total=self.totals(),
        )

    def totals(self) -> TotalFigures:
        """What was counted in all."""
        return TotalFigures(
            messages=self._messages.total,
            chatters=len(self._known),
            first_timers=self._first.total,
            questions=self._questions.total,
            peak=self._peak.most,
            emotes=_top(self._all_emotes.counts(), TOP_EMOTES),
            longest_streak=self._streaks.longest,
        )

    def _advance(self, now: int) -> int:
        """The time to count by: a clock that is set back a little stands still meanwhile."""
        if not self._messages.total:
            self._since = self._now = now
        if now < self._now - RECENT_MS:
            self._start_windows_anew()
            self._now = now
        self._now = max(self._now, now)
        return self._now

    def _start_windows_anew(self) -> None:
        counts = (self._messages, self._new, self._first, self._questions)
        for window in (self._last_minute, *counts):
            window.clear()
        self._chatters.clear()
        self._recent_emotes = RecentItems(_ROOM, _SLICE_MS, RECENT_MS // _SLICE_MS)

    def _meet(self, user: str, now: int) -> None:
        if user not in self._known and len(self._known) < MAX_CHATTERS:
            self._known.add(user)
            self._new.add(now)
        self._chatters[user] = now
        self._chatters.move_to_end(user)
        if len(self._chatters) > MAX_CHATTERS:
            self._chatters.popitem(last=False)

    def _recent_chatters(self, now: int) -> int:
        while self._chatters:
            user, last = next(iter(self._chatters.items()))
            if last > now - RECENT_MS:
                break
            del self._chatters[user]
        return len(self._chatters)

    def _rates(self, now: int) -> Rates:
        return Rates(
            last_second=float(self._last_minute.last(now, 1_000)),
            last_minute=round(self._last_minute.last(now) / 60, 3),
            last_five_minutes=round(self._messages.last(now) / (RECENT_MS // 1_000), 3),
        )


def top_words(texts: Iterable[str]) -> dict[str, int]:
    """The words in most messages; a message counts once, so that nobody makes a word alone."""
    ignored = frozenset(_FUNCTION_WORDS.split())
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({word.lower() for word in _WORD.findall(text)} - ignored)
    return _top(counts, TOP_WORDS)


def _top(counts: Counter[str], most: int) -> dict[str, int]:
    return dict(counts.most_common(most))
