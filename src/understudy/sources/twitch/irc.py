"""Reads the chat of any number of Twitch channels without an account.

Owns when a connection is made, given up and replaced, and the problems to tell people of. Does not
own one connection's conversation (`irc_session`).

When the server asks for a reconnect the next connection joins first, while the old one is read on;
the old one is left when all it was sent has been read, so nothing is missed and the order is kept.
What comes over both has the same id: `engine.channel` and the log know it already.

All timers run on the loop's monotonic clock: a clock that jumps changes nothing.
"""

import asyncio
import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from understudy.sources.base import Publish
from understudy.sources.twitch.backoff import jittered_wait
from understudy.sources.twitch.chat import ChatEvent
from understudy.sources.twitch.irc_link import LinkError, open_link
from understudy.sources.twitch.irc_session import IrcSession, IrcStats, IrcTiming, JoinPace

logger = logging.getLogger(__name__)

TWITCH_IRC_URL = "wss://irc-ws.chat.twitch.tv:443"

HELD_EVENTS = 10_000
"""Events a new connection may hold while it joins; with more, it takes over at once."""

_LOGIN = re.compile(r"[a-z0-9_]{1,25}")


class TwitchIrc:
    """The source for chat read anonymously. `url` is `wss://…`, `ws://…` or `tcp://…`."""

    def __init__(
        self,
        channels: Iterable[str],
        url: str = TWITCH_IRC_URL,
        *,
        timing: IrcTiming | None = None,
    ) -> None:
        """Raises `ValueError` for an unusable URL or a name that is none of a channel."""
        _check(url)
        self.channels = tuple(dict.fromkeys(channel_name(channel) for channel in channels))
        self.rooms: dict[str, dict[str, str]] = {}
        self.stats = IrcStats()
        self._url = url
        self._timing = timing or IrcTiming()
        self._pace = JoinPace(self._timing)
        self._session: IrcSession | None = None
        self._trouble = ""
        self._failures = 0

    @property
    def name(self) -> str:
        """The source's name."""
        return "twitch-irc"

    def describe(self) -> str:
        """One line for people: what it reads and from where."""
        joined = len(self._session.joined) if self._session and not self._trouble else 0
        host = urlsplit(self._url).hostname or "no server"
        names = ", ".join(self.channels) or "no channel"
        state = f"{joined} of {len(self.channels)} joined"
        return f"Twitch chat of {names}, read without an account from {host}: {state}"

    def problems(self) -> list[str]:
        """What people should look at, one sentence each; empty while all is well."""
        found = [self._trouble] if self._trouble else []
        refused = self._session.refused if self._session is not None else {}
        for channel, reason in refused.items():
            found.append(
                f"Twitch does not let the channel {channel} be read, check its name: {reason}"
            )
        return found

    async def run(self, publish: Publish) -> None:
        """Read until cancelled; a connection that ends is replaced, after a wait that grows."""
        try:
            while True:
                begun = asyncio.get_running_loop().time()
                try:
                    await self._read_on(publish)
                except LinkError as error:
                    self._tell(error)
                    await asyncio.sleep(self._next_wait(begun))
        finally:
            if self._session is not None:
                await self._session.close()

    async def _read_on(self, publish: Publish) -> None:
        """Publish what a connection reads, and those that replace it at the server's wish.

        Raises `LinkError` when one ends by itself.
        """
        session, held = await self._open(), list[ChatEvent]()
        while True:
            previous, self._session = self._session, session
            if previous is not None:
                await previous.close()
            for event in held:
                await publish(event)
            session, held = await self._read(session, publish)

    async def _read(self, session: IrcSession, publish: Publish) -> "_Successor":
        """Publish what `session` reads until it has been replaced; returns what replaces it."""
        successor: asyncio.Task[_Successor] | None = None
        try:
            while not session.retired:
                try:
                    events = await session.read()
                except LinkError as error:
                    await session.close()
                    if successor is None:
                        raise
                    self._tell(error)
                    break
                for event in events:
                    await publish(event)
                if session.joined or session.settled:
                    self._trouble = ""
                if session.asked_to_leave and successor is None:
                    successor = asyncio.create_task(
                        self._prepare(session), name="twitch irc successor"
                    )
            assert successor is not None, "a session is retired by its successor"
            return await successor
        except BaseException:
            if successor is not None:
                await _abandon(successor)
            raise

    async def _prepare(self, old: IrcSession) -> "_Successor":
        """A new session that has joined, and the chat that was read meanwhile.

        What an attempt that failed has read is kept: the old connection may have ended before.
        """
        held: list[ChatEvent] = []
        begun = old.begun
        while True:
            await asyncio.sleep(self._next_wait(begun))
            begun = asyncio.get_running_loop().time()
            try:
                session = await self._open()
                await self._hold(session, held, old)
            except LinkError as error:
                logger.warning("Twitch's chat cannot be taken over: %s; it is tried again", error)
            else:
                return session, held

    async def _hold(self, session: IrcSession, held: list[ChatEvent], old: IrcSession) -> None:
        """Read `session` into `held` until all of its channels have answered, or time is up.

        From there on `old` need not be read.
        """
        clock = asyncio.get_running_loop().time
        timing = self._timing
        joining = len(self.channels) / timing.joins * timing.join_window
        deadline = clock() + timing.join_again_after + joining
        try:
            while not session.settled and len(held) < HELD_EVENTS and clock() < deadline:
                held += await session.read()
            with suppress(LinkError):
                await old.mark()
        except BaseException:
            await session.close()
            raise

    async def _open(self) -> IrcSession:
        link = await open_link(self._url, self._timing.connect_within)
        self.stats.connections += 1
        session = IrcSession(link, self.channels, self._timing, self._pace, self.rooms, self.stats)
        try:
            await session.start()
        except BaseException:
            await session.close()
            raise
        return session

    def _tell(self, error: LinkError) -> None:
        self._trouble = f"Twitch's chat is not read: {error}; it is tried again"
        logger.warning("%s", self._trouble)

    def _next_wait(self, begun: float) -> float:
        """Seconds to wait: longer each time, anew after a connection that lasted."""
        if asyncio.get_running_loop().time() - begun >= self._timing.settled_after:
            self._failures = 0
        self._failures += 1
        timing = self._timing
        return jittered_wait(self._failures - 1, timing.first_wait, timing.longest_wait)


def channel_name(text: str) -> str:
    """The login in `text`, which may begin with # or @; raises `ValueError` when it is none."""
    name = text.strip().lstrip("#@").lower()
    if not _LOGIN.fullmatch(name):
        raise ValueError(
            f"{text!r} is not a Twitch channel: use its login, up to 25 letters, digits and _"
        )
    return name


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"wss", "ws", "tcp"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("the URL of Twitch's IRC is unusable: write wss://, ws:// or tcp://host")


_Successor = tuple[IrcSession, list[ChatEvent]]


async def _abandon(successor: asyncio.Task[_Successor]) -> None:
    """End a session that is being prepared, or that nobody took over."""
    successor.cancel()
    (outcome,) = await asyncio.gather(successor, return_exceptions=True)
    if not isinstance(outcome, BaseException):
        await outcome[0].close()
