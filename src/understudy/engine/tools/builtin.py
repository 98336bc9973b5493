"""The co-host's own tools: the time, how long it has been going on, what the chat is like.

Owns what they answer. Does not own the archive they read (`storage.chat_log`) nor
how chat is counted (`engine.statistics`).
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from understudy.brains.base import ToolSpec
from understudy.engine.clock import Clock
from understudy.engine.statistics import ChannelStatistics, top_words
from understudy.engine.tools.base import Caller, Tool, ToolError, may_call
from understudy.events import ChatMessage
from understudy.storage.chat_log import ChatArchive

MAX_MESSAGES = 2_000
"""Newest messages that statistics look at; a busier chat is told to be at least that busy."""
MAX_MINUTES = 60

Began = Callable[[Caller], Awaitable[int | None]]
"""When the caller's stream or conversation began, in ms UTC, if that is known."""


class CurrentTime(Tool):
    """Day and time where the streamer is."""

    spec = ToolSpec(
        "current_time",
        "Today's date and the present time where the streamer is.",
        {"type": "object", "properties": {}},
    )
    trusted = True

    def __init__(self, time_zone: str, clock: Clock) -> None:
        """`time_zone` is an IANA name; empty = this machine's."""
        self._zone: tzinfo | None = ZoneInfo(time_zone) if time_zone else None
        self._clock = clock

    async def call(self, arguments: dict[str, Any], caller: Caller) -> str:
        """`Saturday, 21 November 2026, 19:05 CET`."""
        now = datetime.fromtimestamp(self._clock.now() / 1000, UTC).astimezone(self._zone)
        return f"{now:%A}, {now.day} {now:%B %Y, %H:%M %Z}"


class Uptime(Tool):
    """How long the stream or the conversation has been going on."""

    spec = ToolSpec(
        "uptime",
        "How long this stream or conversation has been going on.",
        {"type": "object", "properties": {}},
    )
    trusted = True

    def __init__(self, began: Began, clock: Clock) -> None:
        self._began = began
        self._clock = clock

    async def call(self, arguments: dict[str, Any], caller: Caller) -> str:
        """`2 h 5 min`; raises `ToolError` when the start is not known."""
        began = await self._began(caller)
        if began is None:
            raise ToolError("nobody noted when it began")
        minutes = max(0, self._clock.now() - began) // 60_000
        return f"{minutes // 60} h {minutes % 60} min"


class _Window(msgspec.Struct, frozen=True):
    """The arguments of `chat_statistics`."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=MAX_MINUTES)] = 10


class ChatStatistics(Tool):
    """How busy the chat is and what it is about."""

    spec = ToolSpec(
        "chat_statistics",
        "How busy the stream's chat was in the last minutes: messages, messages per minute, "
        "chatters, questions, and the words used most.",
        {
            "type": "object",
            "properties": {
                "minutes": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_MINUTES,
                    "description": "how many minutes to look back; 10 by default",
                }
            },
        },
    )

    def __init__(self, archive: ChatArchive, clock: Clock, bots: Collection[str] = ()) -> None:
        """`bots` are logins that do not count."""
        self._archive = archive
        self._clock = clock
        self._bots = frozenset(bots)

    async def call(self, arguments: dict[str, Any], caller: Caller) -> str:
        """The figures as JSON; viewers get those of their own channel only."""
        try:
            minutes = msgspec.convert(arguments, _Window).minutes
        except msgspec.ValidationError as error:
            raise ToolError(f"its arguments are wrong: {error}") from None
        if not caller.channel and not may_call(caller.role, "moderator"):
            raise ToolError("this conversation belongs to no stream")
        page = await self._archive.messages(
            caller.channel or None, None, limit=MAX_MESSAGES, newest=True
        )
        since = self._clock.now() - minutes * 60_000
        recent = [entry for entry in page if entry.message.ts >= since]
        messages = [
            entry.message
            for entry in recent
            if not entry.deleted and entry.message.user not in self._bots
        ]
        figures = self._figures(messages, minutes)
        if len(recent) == MAX_MESSAGES:
            figures["note"] = "there were more messages than were counted"
        return msgspec.json.encode(figures).decode()

    def _figures(self, messages: Sequence[ChatMessage], minutes: int) -> dict[str, object]:
        counted = ChannelStatistics("")
        for message in reversed(messages):
            counted.note(message, message.ts)
        total = counted.totals()
        return {
            "minutes": minutes,
            "messages": total.messages,
            "messages_per_minute": round(total.messages / minutes, 1),
            "chatters": total.chatters,
            "questions": total.questions,
            "top_words": top_words(message.text for message in messages),
        }


def own_tools(
    time_zone: str,
    archive: ChatArchive,
    began: Began,
    clock: Clock | None = None,
    *,
    bots: Collection[str] = (),
) -> tuple[Tool, ...]:
    """All of them; `clock` is the stream's time, `bots` are logins that statistics leave out."""
    clock = clock or Clock()
    return (
        CurrentTime(time_zone, clock),
        Uptime(began, clock),
        ChatStatistics(archive, clock, bots),
    )
