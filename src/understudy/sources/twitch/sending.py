"""What the co-host says in Twitch's chat, at the pace Twitch allows.

Owns the queue, the pace and what is held back. Does not own the cutting into messages
(`message_text`) nor the call (`helix`).

Twitch takes 20 messages in 30 s from an account, 100 where it is a moderator, and silences it for
half an hour when it sends more. The same text twice within 30 s is shown once: the second is held
back here, and told, because to alter it invisibly would be to deceive the channel's own filters.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

import msgspec

from understudy.sources.twitch import scopes
from understudy.sources.twitch.auth import Login, TwitchAuth
from understudy.sources.twitch.errors import NotSent, TwitchError
from understudy.sources.twitch.helix import Helix
from understudy.sources.twitch.http import Sleep
from understudy.sources.twitch.message_text import split_message
from understudy.sources.twitch.own_messages import OwnMessages
from understudy.sources.twitch.user_ids import UserIds

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 30.0
VIEWER_LIMIT = 20
MODERATOR_LIMIT = 100
MAX_WAITING = 20
MODERATED_SECONDS = 600.0
"""How long it is believed where the account is a moderator."""
_SHOWN_CHARS = 40


class _Waiting(msgspec.Struct, frozen=True):
    """A message that waits to be sent, and who waits for it."""

    channel: str
    pieces: list[str]
    reply_to: str
    is_wanted: Callable[[], bool]
    on_shown: Callable[[str], None]
    sent: asyncio.Future[list[str]]


class Pace:
    """Counts what was sent in the last 30 s. `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MODERATOR_LIMIT)
        self._texts: dict[tuple[str, str], float] = {}

    def wait(self, limit: int) -> float:
        """Seconds until one more message keeps within `limit` (at most 100) in 30 s."""
        if len(self._times) < limit:
            return 0.0
        return max(0.0, self._times[-limit] + WINDOW_SECONDS - self._clock())

    def count(self) -> None:
        """A message was sent, or may have been."""
        self._times.append(self._clock())

    def repeats(self, channel: str, text: str) -> bool:
        """Whether the same was said to the channel in the last 30 s."""
        said = self._texts.get((channel, text))
        return said is not None and self._clock() - said < WINDOW_SECONDS

    def remember(self, channel: str, text: str) -> None:
        """The text was shown."""
        now = self._clock()
        self._texts = {k: at for k, at in self._texts.items() if now - at < WINDOW_SECONDS}
        self._texts[channel, text] = now


class ChatSender:
    """Sends messages one after another as the account of `auth`; start it, and close it.

    At most `waiting` messages wait. When one more comes, the oldest is dropped, since a late
    answer is worth the least: its sender is told, and `dropped` counts it.
    """

    def __init__(
        self,
        helix: Helix,
        auth: TwitchAuth,
        *,
        waiting: int = MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._helix = helix
        self._auth = auth
        self._user_ids = UserIds(helix)
        self._max_waiting = waiting
        self._clock = clock
        self._sleep = sleep
        self._pace = Pace(clock)
        self._waiting: deque[_Waiting] = deque()
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._moderated: tuple[str, float, frozenset[str]] = ("", 0.0, frozenset())
        self.dropped = 0
        self.own = OwnMessages(clock)

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="twitch sender")

    async def aclose(self) -> None:
        """Stop; what still waits is not sent, and its senders are told."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            self._drop(self._waiting.popleft(), "Understudy is stopping")

    async def send(
        self,
        channel: str,
        text: str,
        *,
        reply_to: str = "",
        is_wanted: Callable[[], bool] = lambda: True,
        on_shown: Callable[[str], None] = lambda message_id: None,
    ) -> list[str]:
        """Send `text` to `channel` (a login); returns the ids of its messages when all are shown.

        Long texts become several messages, of which the first is the reply to `reply_to`. Before
        each `is_wanted` is asked, and after it `on_shown` is told its id. Raises `NotLoggedIn`
        when nobody is logged in, `MissingScope`, `NotSent` or another `TwitchError`.
        """
        self._auth.require(scopes.WRITE_CHAT, "send to the chat")
        pieces = split_message(text)
        if not pieces:
            raise NotSent("there is nothing to send: the message is empty")
        if len(self._waiting) >= self._max_waiting:
            self._drop(self._waiting.popleft(), f"{self._max_waiting} newer ones wait")
            self.dropped += 1
        sent: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(channel.lower(), pieces, reply_to, is_wanted, on_shown, sent)
        self._waiting.append(waiting)
        self._filled.set()
        return await sent

    def _drop(self, waiting: _Waiting, why: str) -> None:
        if waiting.sent.done():
            return
        text = waiting.pieces[0]
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
        sentence = f'the message "{shown}" to {waiting.channel} was dropped: {why}'
        logger.warning("%s", sentence)
        waiting.sent.set_exception(NotSent(sentence))

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            while self._waiting:
                waiting = self._waiting.popleft()
                if not waiting.sent.done():
                    await self._deliver(waiting)
            self._filled.clear()

    async def _deliver(self, waiting: _Waiting) -> None:
        """Send all pieces and tell who waits how it went."""
        try:
            sent = await self._send(waiting)
        except asyncio.CancelledError:
            self._drop(waiting, "Understudy is stopping")
            raise
        except Exception as error:
            if not waiting.sent.done():
                waiting.sent.set_exception(error)
            else:
                logger.warning("a message to %s failed: %s", waiting.channel, error)
        else:
            if not waiting.sent.done():
                waiting.sent.set_result(sent)

    async def _send(self, waiting: _Waiting) -> list[str]:
        login = self._auth.require(scopes.WRITE_CHAT, "send to the chat")
        number = await self._user_ids.one(waiting.channel)
        limit = await self._limit(login, number)
        sent: list[str] = []
        for piece in waiting.pieces:
            if self._pace.repeats(waiting.channel, piece):
                raise NotSent(
                    f"the same text was sent to {waiting.channel} less than "
                    f"{WINDOW_SECONDS:g} s ago: it was held back"
                )
            while wait := self._pace.wait(limit):
                await self._sleep(wait)
            if not waiting.is_wanted():
                raise NotSent(f"the message to {waiting.channel} was withdrawn")
            reply_to = "" if sent else waiting.reply_to
            sent.append(await self._send_piece(waiting.channel, number, login, piece, reply_to))
            waiting.on_shown(sent[-1])
        return sent

    async def _send_piece(
        self, channel: str, number: str, login: Login, text: str, reply_to: str
    ) -> str:
        # Before it is sent: the chat may hand it back before the answer comes.
        self.own.sending(channel, text)
        try:
            message = await self._helix.send_message(number, login.user_id, text, reply_to)
        finally:
            self._pace.count()
        if not message.is_sent:
            self.own.not_shown(channel, text)
            reason = message.drop_reason
            why = f" ({reason.message or reason.code})" if reason else ""
            raise NotSent(f"Twitch did not show the message in {channel}{why}")
        self._pace.remember(channel, text)
        self.own.shown(message.message_id)
        return message.message_id

    async def _limit(self, login: Login, number: str) -> int:
        """Messages in 30 s that Twitch takes for this channel."""
        if number == login.user_id or number in await self._moderated_by(login):
            return MODERATOR_LIMIT
        return VIEWER_LIMIT

    async def _moderated_by(self, login: Login) -> frozenset[str]:
        """The channels that the account moderates, as far as it may know them."""
        whose, asked, channels = self._moderated
        if scopes.MODERATED_CHANNELS not in login.scopes:
            return frozenset()
        if whose == login.user_id and self._clock() - asked < MODERATED_SECONDS:
            return channels
        try:
            found = await self._helix.moderated_channels(login.user_id)
        except TwitchError as error:
            logger.warning("messages are sent slowly, as by a viewer: %s", error)
            found = []
        channels = frozenset(channel.broadcaster_id for channel in found)
        self._moderated = (login.user_id, self._clock(), channels)
        return channels
