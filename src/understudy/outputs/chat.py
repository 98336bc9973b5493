"""Says the replies of live channels in the platform's chat, too.

Owns which replies are sent, what they answer there, and that a reply goes when its message is
removed. Does not own the pace of sending (`sources.twitch.sending`) nor what is said.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Coroutine

import msgspec

from understudy.bus import Bus
from understudy.events import ChatMessage, Event, Moderation, Reply, StreamEvent
from understudy.sources.twitch.errors import MissingScope, NotLoggedIn, TwitchError
from understudy.sources.twitch.moderating import ChatModerator
from understudy.sources.twitch.sending import ChatSender

logger = logging.getLogger(__name__)

QUEUE_EVENTS = 4_096
PLATFORM = "twitch"
KNOWN_SOURCES = 32_768
"""Newest messages and events that a reply may answer: in a flood some wait for seconds."""
KNOWN_ACTS = 1_000
KNOWN_ANSWERS = 200
"""Newest replies that are deleted when their message is removed."""
LAST_WORDS_SECONDS = 2.0
"""How long a close waits for what is being sent."""


class _Source(msgspec.Struct, frozen=True):
    """What a reply may answer: its place among the events, and whether the chat shows it."""

    at: int
    platform: str
    is_shown: bool


class _Answer(msgspec.Struct, eq=False):
    """A reply on its way into the chat, or there under `ids`."""

    reply: Reply
    is_to_shown: bool
    withdrawn: bool = False
    under_way: bool = True
    ids: list[str] = []


class ChatOutput:
    """Sends the replies of `channels` from `start` to `close`, except while `is_muted`.

    It follows the bus and never waits for the platform: when it cannot keep up, the sender drops
    what waits longest.
    """

    def __init__(
        self,
        bus: Bus,
        sender: ChatSender,
        moderator: ChatModerator,
        channels: Collection[str],
        *,
        is_muted: Callable[[], bool],
    ) -> None:
        self._bus = bus
        self._sender = sender
        self._moderator = moderator
        self._channels = frozenset(channels)
        self._is_muted = is_muted
        self._subscription = bus.subscribe(
            "chat output", ChatMessage, StreamEvent, Moderation, Reply, capacity=QUEUE_EVENTS
        )
        self._count = 0
        self._sources: OrderedDict[tuple[str, str], _Source] = OrderedDict()
        self._acts: deque[tuple[int, Moderation]] = deque(maxlen=KNOWN_ACTS)
        self._answers: deque[_Answer] = deque(maxlen=KNOWN_ANSWERS)
        self._unsent = ""
        self._undeleted = ""
        self._task: asyncio.Task[None] | None = None
        self._at_work: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to follow the bus."""
        self._task = asyncio.create_task(self._run(), name="chat output")

    async def close(self) -> None:
        """Take what is queued, let it be sent for a moment, then give up what is not."""
        self._bus.unsubscribe(self._subscription)
        if self._task is not None:
            await self._task
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=LAST_WORDS_SECONDS)
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    @property
    def busy(self) -> bool:
        """Whether something is being sent or deleted."""
        return bool(self._at_work)

    def problems(self) -> list[str]:
        """What went wrong with the newest reply and the newest deletion, one sentence each."""
        return [problem for problem in (self._unsent, self._undeleted) if problem]

    async def _run(self) -> None:
        while events := await self._subscription.batch():
            for event in events:
                if event.channel in self._channels:
                    self._count += 1
                    self._receive(event)

    def _receive(self, event: Event) -> None:
        match event:
            case ChatMessage():
                self._remember(event, event.platform, is_shown=True)
            case StreamEvent():
                # A cheer is a message with bits.
                self._remember(event, event.platform, is_shown=event.kind == "cheer")
            case Moderation():
                self._acts.append((self._count, event))
                self._withdraw(event)
            case Reply():
                self._answer(event)
            case _:
                raise TypeError(f"the chat output was given a {type(event).__name__}")

    def _remember(self, event: Event, platform: str, *, is_shown: bool) -> None:
        self._sources[event.channel, event.id] = _Source(self._count, platform, is_shown)
        if len(self._sources) > KNOWN_SOURCES:
            self._sources.popitem(last=False)

    def _answer(self, reply: Reply) -> None:
        # Of a source that is not known any more only the removal by its id can be told.
        unknown = _Source(self._count, PLATFORM, is_shown=False)
        source = self._sources.get((reply.channel, reply.in_reply_to), unknown)
        answer = _Answer(reply, source.is_shown)
        removed = any(
            _removes(act, answer)
            for at, act in self._acts
            if at > source.at or act.kind == "delete"
        )
        # Who asked on another platform does not read here.
        if removed or not reply.text.strip() or source.platform != PLATFORM or self._is_muted():
            return
        self._answers.append(answer)
        self._spawn(self._send(answer), f"say {reply.turn}")

    async def _send(self, answer: _Answer) -> None:
        reply = answer.reply
        try:
            await self._sender.send(
                reply.channel,
                reply.text,
                reply_to=reply.in_reply_to if answer.is_to_shown else "",
                is_wanted=lambda: not answer.withdrawn and not self._is_muted(),
                on_shown=answer.ids.append,
            )
        except (NotLoggedIn, MissingScope):
            # Told where the login is kept.
            pass
        except TwitchError as error:
            if not answer.withdrawn and not self._is_muted():
                self._unsent = self._tell(
                    self._unsent, f"the newest reply is not in the chat of {reply.channel}: {error}"
                )
        else:
            self._unsent = ""
        finally:
            answer.under_way = False
        if answer.withdrawn:
            await self._delete(answer)

    def _withdraw(self, act: Moderation) -> None:
        """Let the replies go whose messages `act` has removed."""
        for answer in self._answers:
            if answer.withdrawn or not _removes(act, answer):
                continue
            answer.withdrawn = True
            # What is being sent is seen to when that is over; a cleared chat holds none any more.
            if answer.ids and not answer.under_way and act.kind != "clear":
                self._spawn(self._delete(answer), f"take back {answer.reply.turn}")

    async def _delete(self, answer: _Answer) -> None:
        channel = answer.reply.channel
        try:
            for message_id in answer.ids:
                await self._moderator.delete(channel, message_id)
        except TwitchError as error:
            self._undeleted = self._tell(
                self._undeleted, f"a reply to a removed message stays in the chat: {error}"
            )
        else:
            self._undeleted = ""

    def _tell(self, before: str, problem: str) -> str:
        """The problem to show; it is logged when there was none before."""
        if not before:
            logger.warning("%s", problem)
        return problem

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._at_work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)


def _removes(act: Moderation, answer: _Answer) -> bool:
    """Whether a moderator's act takes what the reply answers out of the chat."""
    reply = answer.reply
    if act.channel != reply.channel:
        return False
    if act.kind == "delete":
        return act.message_id == reply.in_reply_to
    if act.kind == "clear":
        return answer.is_to_shown
    return bool(act.user) and act.user.casefold() == reply.user.casefold()
