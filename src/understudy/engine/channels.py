"""The channels this process owns, live and in rehearsal, and the switches for all of them."""

from understudy.engine.channel import Channel


class Channels:
    """Channels by name. Nothing here assumes that one process sees every channel there is."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self.muted = False

    def names(self) -> list[str]:
        """The channels in the order they were opened."""
        return list(self._channels)

    async def add(self, channel: Channel) -> None:
        """Take in an opened channel; it is muted if everything is."""
        if channel.name in self._channels:
            raise ValueError(f"channel {channel.name} is open already: stop it first")
        self._channels[channel.name] = channel
        if self.muted:
            await channel.mute(True)

    async def remove(self, channel: Channel) -> None:
        """Close a channel and forget it."""
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
        await channel.close()

    async def mute(self, muted: bool) -> None:
        """Silence or release the co-host everywhere; muting ends replies under way."""
        self.muted = muted
        for channel in list(self._channels.values()):
            await channel.mute(muted)

    def skip(self) -> int:
        """End the replies under way in all channels; returns how many there were."""
        return sum(channel.skip() for channel in self._channels.values())

    async def close(self) -> None:
        """Close every channel."""
        for channel in list(self._channels.values()):
            await self.remove(channel)
