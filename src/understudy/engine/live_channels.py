"""The channels that live sources speak in: opened when something happens there, fed in order.

Owns which channel an event goes to. Does not own what happens in it (`channel`).
"""

import asyncio
from collections.abc import Awaitable, Callable

from understudy.engine.channel import Channel, StreamInput
from understudy.engine.channels import Channels

MAX_CHANNELS = 200
"""Channels one process opens: whoever posts events cannot open any number of them."""


class ChannelRefused(Exception):
    """Events of this channel are not taken; the message says why and what to do."""


class LiveChannels:
    """Hands each event to its channel. Sources that speak in the same one take turns."""

    def __init__(
        self, channels: Channels, make_channel: Callable[[str], Awaitable[Channel]]
    ) -> None:
        self._channels = channels
        self._make_channel = make_channel
        self._opening = asyncio.Lock()
        self._live: dict[str, tuple[Channel, asyncio.Lock]] = {}

    def names(self) -> list[str]:
        """The live channels in the order they were opened."""
        return list(self._live)

    def is_live(self, channel: str) -> bool:
        """Whether a channel is opened for live sources; a rehearsed one is not."""
        return channel in self._live

    async def receive(self, event: StreamInput) -> None:
        """Handle the next event of a live source; raises `ChannelRefused`."""
        channel, turn = self._live.get(event.channel) or await self._open(event.channel)
        async with turn:
            await channel.receive(event)

    async def open(self, name: str) -> None:
        """Open a channel before anything happens in it; raises `ChannelRefused`."""
        await self._open(name)

    async def _open(self, name: str) -> tuple[Channel, asyncio.Lock]:
        async with self._opening:
            if name in self._live:
                return self._live[name]
            if len(self._live) >= MAX_CHANNELS:
                raise ChannelRefused(f"{MAX_CHANNELS} channels are open: restart to open others")
            channel = await self._make_channel(name)
            try:
                await self._channels.add(channel)
            except ValueError as error:
                await channel.close()
                raise ChannelRefused(str(error)) from None
            self._live[name] = (channel, asyncio.Lock())
            return self._live[name]
