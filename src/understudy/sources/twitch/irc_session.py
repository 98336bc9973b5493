"""One connection's conversation with Twitch's IRC: login, joins, life signs, chat.

Owns what the server's own commands mean. Does not own the socket (`irc_link`), the meaning of chat
(`chat`) nor when a new connection is made (`irc`).
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable

import msgspec

from understudy.events import now_ms
from understudy.sources.twitch.chat import ChatEvent, event_of
from understudy.sources.twitch.irc_link import Link, LinkError
from understudy.sources.twitch.irc_message import IrcMessage, MalformedLine, parse

logger = logging.getLogger(__name__)

CAPABILITIES = "twitch.tv/tags twitch.tv/commands"
REFUSALS = frozenset(
    {"msg_banned", "msg_channel_blocked", "msg_channel_suspended", "msg_room_not_found", "tos_ban"}
)
"""The `msg-id` of notices after which a channel is not asked for again on this connection."""

_ALIVE = "alive"
_UP_TO_HERE = "up-to-here"
"""What our pings carry: the second one marks a place in the stream of lines."""


class IrcTiming(msgspec.Struct, frozen=True):
    """Times in seconds. A stall is noticed after `ping_after` + `pong_within`.

    Twitch takes 20 joins in 10 s from an account that is no verified bot.
    """

    connect_within: float = 10.0
    ping_after: float = 12.0
    pong_within: float = 10.0
    joins: int = 20
    join_window: float = 10.5
    join_again_after: float = 30.0
    first_wait: float = 0.5
    longest_wait: float = 60.0
    settled_after: float = 30.0


class IrcStats(msgspec.Struct):
    """Counts since the start; `bad_lines` are those that were skipped."""

    lines: int = 0
    events: int = 0
    bad_lines: int = 0
    connections: int = 0


class JoinPace:
    """Holds joins back so that no more than `joins` fall into any window, whatever connects."""

    def __init__(self, timing: IrcTiming) -> None:
        self._window = timing.join_window
        self._times: deque[float] = deque(maxlen=timing.joins)

    async def admit(self) -> None:
        """Return when one more join may be sent."""
        clock = asyncio.get_running_loop().time
        while len(self._times) == self._times.maxlen:
            wait = self._times[0] + self._window - clock()
            if wait <= 0:
                break
            await asyncio.sleep(wait)
        self._times.append(clock())


class IrcSession:
    """A connection from its login to its end; `read` it until it raises `LinkError`.

    `rooms` (the state of each channel) and `stats` go on from one session to the next.
    """

    def __init__(
        self,
        link: Link,
        channels: Iterable[str],
        timing: IrcTiming,
        pace: JoinPace,
        rooms: dict[str, dict[str, str]],
        stats: IrcStats,
    ) -> None:
        self.joined: set[str] = set()
        self.refused: dict[str, str] = {}
        self.asked_to_leave = False
        self.retired = False
        self._welcome = False
        self.begun = asyncio.get_running_loop().time()
        self._link = link
        self._channels = list(channels)
        self._timing = timing
        self._pace = pace
        self._rooms = rooms
        self._stats = stats
        # Twitch lets anyone read under such a name, without a password.
        self._nick = f"justinfan{random.randrange(1_000, 100_000)}"
        self._clock = asyncio.get_running_loop().time
        self._waiting_since: float | None = None
        self._stalled = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def settled(self) -> bool:
        """Whether every channel was joined or refused."""
        return len(self.joined) + len(self.refused) >= len(self._channels)

    async def start(self) -> None:
        """Log in; channels are joined once the server has said welcome."""
        self._tasks.append(asyncio.create_task(self._watch(), name="twitch irc watch"))
        await self._link.send(f"CAP REQ :{CAPABILITIES}")
        await self._link.send(f"NICK {self._nick}")

    async def read(self) -> list[ChatEvent]:
        """The chat of the next lines, maybe none; raises `LinkError` at the end of the connection.

        Once `mark` was called and the server has answered, `retired` is true: what it sent before
        has been read.
        """
        events: list[ChatEvent] = []
        received = now_ms()
        for line in await self._receive():
            self._stats.lines += 1
            try:
                message = parse(line)
                event = event_of(message, received)
            except MalformedLine as problem:
                self._stats.bad_lines += 1
                logger.debug("skipped a line of Twitch's: %s", problem)
                continue
            if event is not None:
                events.append(event)
            elif "!" not in message.source or message.nick == self._nick:
                await self._obey(message)
        self._stats.events += len(events)
        return events

    async def mark(self) -> None:
        """Ask the server to say when everything up to here has been sent; raises `LinkError`."""
        await self._link.send(f"PING :{_UP_TO_HERE}")

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.close()

    async def _receive(self) -> list[str]:
        """The next lines. That nothing comes counts only while they are waited for."""
        self._waiting_since = self._clock()
        try:
            return await self._link.read()
        except LinkError:
            if not self._stalled:
                raise
            silence = self._timing.ping_after + self._timing.pong_within
            raise LinkError(f"the server has been silent for {silence:g} s") from None
        finally:
            self._waiting_since = None

    async def _watch(self) -> None:
        """Ask a silent server for a sign of life, and end the connection when there is none.

        One timer for all: this costs a busy chat nothing, unlike a timeout around each read.
        """
        timing = self._timing
        try:
            while True:
                since = self._waiting_since
                silence = 0.0 if since is None else self._clock() - since
                if silence < timing.ping_after:
                    await asyncio.sleep(timing.ping_after - silence)
                    continue
                await self._link.send(f"PING :{_ALIVE}")
                await asyncio.sleep(timing.pong_within)
                if self._waiting_since == since:
                    self._stalled = True
                    await self._link.close()
                    return
        except LinkError:
            # Whoever reads is told the same.
            return

    async def _obey(self, message: IrcMessage) -> None:
        """Do what a command of the server's asks for, or note what it tells."""
        params = message.params
        match message.command:
            case "PING":
                await self._link.send(f"PONG :{params[-1] if params else ''}")
            case "PONG":
                self.retired = self.retired or params[-1:] == [_UP_TO_HERE]
            case "001":
                self._begin_to_join()
            case "JOIN" | "PART" | "ROOMSTATE" | "NOTICE":
                self._note_room(message)
            case "RECONNECT":
                self.asked_to_leave = True
            case _:
                pass

    def _note_room(self, message: IrcMessage) -> None:
        channel = message.params[0].lstrip("#").lower() if message.params else ""
        if channel not in self._channels:
            if message.command == "NOTICE" and message.params:
                logger.warning("Twitch says: %s", message.params[-1])
        elif message.command == "PART":
            self.joined.discard(channel)
        elif message.command == "NOTICE":
            if message.tags.get("msg-id") in REFUSALS:
                self.joined.discard(channel)
                self.refused[channel] = message.params[-1]
        else:
            self.joined.add(channel)
            self.refused.pop(channel, None)
            if message.command == "ROOMSTATE":
                self._rooms.setdefault(channel, {}).update(message.tags)

    def _begin_to_join(self) -> None:
        if not self._welcome:
            self._welcome = True
            joining = asyncio.create_task(self._keep_joined(), name="twitch irc joins")
            self._tasks.append(joining)

    async def _keep_joined(self) -> None:
        """Join every channel, and again those that got no answer for a while."""
        try:
            while True:
                for channel in self._channels:
                    if channel in self.joined or channel in self.refused:
                        continue
                    await self._pace.admit()
                    await self._link.send(f"JOIN #{channel}")
                await asyncio.sleep(self._timing.join_again_after)
        except LinkError:
            # Whoever reads is told the same.
            return
