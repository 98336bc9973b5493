"""The statistics of every channel whose chat passes over the bus.

Owns which channels are counted. Does not own what is counted (`statistics`). Times are those of
arrival: the clocks of platforms and of recordings are not ours.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection

from understudy.bus import Bus
from understudy.engine.clock import Clock
from understudy.engine.statistics import ChannelStatistics, ChatFigures, EmoteReader, no_emotes
from understudy.events import ChatMessage, Event

LINGER_SECONDS = 0.1
"""How long messages wait to be counted together."""
BATCH_EVENTS = 256
"""Messages counted at a time: others must have their turn in between."""
QUEUE_EVENTS = 4_096
MAX_CHANNELS = 1_000
"""Channels that are counted at the same time; the one that is quiet longest gives way."""


class LiveStatistics:
    """Counts chat from `start` to `close`; when it cannot follow, the oldest messages are missed.

    `bots` are logins that are left out.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        emotes_of: EmoteReader = no_emotes,
        bots: Collection[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self._bus = bus
        self._emotes_of = emotes_of
        self._bots = frozenset(bots)
        self._clock = clock or Clock()
        self._channels: OrderedDict[str, ChannelStatistics] = OrderedDict()
        self._subscription = bus.subscribe("statistics", ChatMessage, capacity=QUEUE_EVENTS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count."""
        self._task = asyncio.create_task(self._run(), name="statistics")

    async def close(self) -> None:
        """Count what is queued, then stop."""
        self._bus.unsubscribe(self._subscription)
        if self._task is not None:
            await self._task

    def figures(self, channel: str | None = None) -> list[ChatFigures]:
        """The statistics of `channel`, or of all channels by name; empty when nobody wrote."""
        now = self._clock.now()
        names = sorted(self._channels) if channel is None else [channel]
        return [self._channels[name].figures(now) for name in names if name in self._channels]

    async def _run(self) -> None:
        while events := await self._subscription.batch(BATCH_EVENTS, LINGER_SECONDS):
            now = self._clock.now()
            for event in events:
                self._note(event, now)

    def _note(self, event: Event, now: int) -> None:
        if not isinstance(event, ChatMessage):
            return
        statistics = self._channels.get(event.channel)
        if statistics is None:
            statistics = self._channels[event.channel] = ChannelStatistics(
                event.channel, emotes_of=self._emotes_of, ignored=self._bots
            )
            if len(self._channels) > MAX_CHANNELS:
                self._channels.popitem(last=False)
        self._channels.move_to_end(event.channel)
        statistics.note(event, now)
