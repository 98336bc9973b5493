"""What came of a rehearsal, gathered from the events it caused.

Holds no wall-clock time, so the same recording and seed give the same report. Does not own when
events happen (`rehearsal`).
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

import msgspec

from understudy.engine.statistics import ChannelStatistics, EmoteReader, no_emotes
from understudy.events import (
    ChatMessage,
    Decision,
    Emotion,
    Event,
    Moderation,
    Reply,
    StreamEvent,
)
from understudy.mood.curve import MoodCurves
from understudy.sources.recordings import BadLine

REPORTED_BAD_LINES = 100


class RehearsalReport:
    """Counts and keeps what the report tells."""

    def __init__(self, emotes_of: EmoteReader = no_emotes, bots: Collection[str] = ()) -> None:
        """`bots` are logins that the statistics of the chat leave out."""
        self.moods: MoodCurves | None = None
        self._emotes_of = emotes_of
        self._bots = frozenset(bots)
        self._chat: dict[str, ChannelStatistics] = {}
        self.channels: list[str] = []
        self._span: tuple[int, int] | None = None
        self._kinds: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._fates: list[tuple[str, str, str, str]] = []
        self._replies: list[dict[str, Any]] = []
        self._emotions: dict[str, list[str]] = {}
        self._bad_lines: list[dict[str, Any]] = []
        self._bad_count = 0

    def note(self, event: Event) -> None:
        """Take in an event of the pipeline."""
        match event:
            case Decision():
                self._reasons[event.action, event.reason] += 1
                fate = (event.message_id, event.action, event.reason, event.detail)
                self._fates.append(fate)
            case Emotion():
                self._emotions.setdefault(event.turn, []).append(event.name)
            case Reply():
                self._note_reply(event)
            case ChatMessage() | StreamEvent() | Moderation():
                self._kinds[type(event).__name__] += 1
                first, last = self._span or (event.ts, event.ts)
                self._span = (min(first, event.ts), max(last, event.ts))
                if isinstance(event, ChatMessage):
                    self._count(event)
                if self.moods is not None and not isinstance(event, StreamEvent):
                    self.moods.note(event)
            case _:
                pass

    def note_bad(self, line: BadLine) -> None:
        """Count a line that could not be read; the first ones are named."""
        self._bad_count += 1
        if len(self._bad_lines) < REPORTED_BAD_LINES:
            self._bad_lines.append({"line": line.number, "reason": line.reason})

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able data."""
        first, last = self._span or (0, 0)
        return {
            "channels": self.channels,
            "stream_seconds": (last - first) / 1000,
            "events": dict(sorted(self._kinds.items())),
            "chat": {
                channel: msgspec.to_builtins(statistics.totals())
                for channel, statistics in self._chat.items()
            },
            "mood_curve": msgspec.to_builtins(self.moods.curves() if self.moods else {}),
            "bad_line_count": self._bad_count,
            "bad_lines": self._bad_lines,
            "decisions": {
                f"{action}: {reason}": count
                for (action, reason), count in sorted(self._reasons.items())
            },
            "replies": self._replies,
            "fates": [
                {"id": message, "action": action, "reason": reason, "detail": detail}
                for message, action, reason, detail in self._fates
            ],
        }

    def _count(self, message: ChatMessage) -> None:
        statistics = self._chat.get(message.channel)
        if statistics is None:
            statistics = self._chat[message.channel] = ChannelStatistics(
                message.channel, emotes_of=self._emotes_of, ignored=self._bots
            )
        statistics.note(message, message.ts)

    def _note_reply(self, reply: Reply) -> None:
        self._replies.append(
            {
                "in_reply_to": reply.in_reply_to,
                "user": reply.user,
                "text": reply.text,
                "status": reply.status,
                "emotions": self._emotions.pop(reply.turn, []),
            }
        )
