"""Follows the live chat and stores what the audience makes of replies: votes and reactions.

Owns the task, the weight of votes, and what is stored. Does not own what a vote is about (`votes`),
what a reaction is worth (`meter`, `rewards`) nor how judgements are stored (`feedback`).

It works behind the bus: no answer waits for it, and when it cannot follow, the oldest events are
missed. Only live channels count, so a rehearsal leaves nothing. A vote of somebody who was hardly
seen before, or during a raid, is stored with weight 0: a crowd that was brought along teaches
nothing.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.addressing import AddressReader, from_another_room
from understudy.events import (
    ChatMessage,
    Decision,
    Event,
    Moderation,
    Reply,
    StreamEvent,
    now_ms,
)
from understudy.learning.feedback import WEIGHTS, Feedback, Judgement, NoSuchReply
from understudy.learning.reactions.laughter import LaughReader
from understudy.learning.reactions.meter import ReactionMeter
from understudy.learning.reactions.rewards import Moment, Rewards
from understudy.learning.reactions.room import Room
from understudy.learning.reactions.votes import Ballot, VoteReader
from understudy.safety.limits import RateLimiter
from understudy.storage.errors import StorageError
from understudy.storage.experiences import Experiences
from understudy.storage.reactions import Reactions
from understudy.storage.rows import WITHHELD, FeedbackSource
from understudy.storage.viewers import Viewers

logger = logging.getLogger(__name__)

QUEUE_EVENTS = 8_192
MAX_CHANNELS = 1_000
"""Channels that are followed at the same time; the one that is quiet longest gives way."""
VOTES_PER_MINUTE = 12.0
RAID_MS = 120_000
"""How long votes do not count after a raid."""
REMEMBERED = 500
"""Stored reactions of a channel that are looked at when it is first heard of."""
LOOK_SECONDS = 1.0
TURN_OF_LOOP = 32
"""Events between two turns of the event loop: answers go before what is learned from them."""
ROOM = "room"
"""In whose name the room's reactions are stored."""
_RECORDED_MS = 60_000


class _Channel(msgspec.Struct):
    """What is followed of one channel; `behind` is how far its time is behind the clock (ms)."""

    meter: ReactionMeter
    reader: AddressReader
    votes: VoteReader
    ballot: Ballot
    newest: int = 0
    behind: int = 0
    raided: int | None = None


class Audience:
    """Stores votes and reactions of live channels. `start` it, `close` it."""

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        feedback: Feedback,
        experiences: Experiences,
        reactions: Reactions,
        viewers: Viewers,
        *,
        is_live: Callable[[str], bool],
        score: Callable[[str, str], float],
        now: Callable[[], int] = now_ms,
    ) -> None:
        """`is_live` tells live channels from rehearsed ones.

        `score` is the sentiment of a text (second argument) in a channel, from -1 to 1.
        """
        self._bus = bus
        self._settings = settings
        self._feedback = feedback
        self._experiences = experiences
        self._reactions = reactions
        self._viewers = viewers
        self._is_live = is_live
        self._score = score
        self._now = now
        self._rewards = Rewards()
        self._laughs = LaughReader()
        self._limiter = RateLimiter(VOTES_PER_MINUTE)
        self._channels: OrderedDict[str, _Channel] = OrderedDict()
        self._subscription = bus.subscribe(
            "audience",
            *(ChatMessage, StreamEvent, Moderation, Decision, Reply),
            capacity=QUEUE_EVENTS,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the chat."""
        self._task = asyncio.create_task(self._run(), name="reactions")

    async def close(self) -> None:
        """Deal with what is queued, then stop; reactions that are not over yet are given up."""
        self._bus.unsubscribe(self._subscription)
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while True:
            events: list[Event] = []
            try:
                async with asyncio.timeout(LOOK_SECONDS if self._is_waiting() else None):
                    events = await self._subscription.batch()
            except TimeoutError:
                await self._settle()
                continue
            if not events:
                return
            for number, event in enumerate(events):
                if self._is_live(event.channel):
                    await self._receive_or_tell(event)
                if number % TURN_OF_LOOP == 0:
                    await asyncio.sleep(0)
            await self._settle()

    async def _receive_or_tell(self, event: Event) -> None:
        try:
            await self._receive(event)
        except Exception:
            # One event must not end all votes and reactions of every channel.
            logger.exception("event %s is left out of votes and reactions", event.id)

    def _is_waiting(self) -> bool:
        return any(channel.meter.due_at() is not None for channel in self._channels.values())

    async def _receive(self, event: Event) -> None:
        channel = await self._channel(event)
        # A recorded chat is long over by our clock, and may be played in no time.
        await self._judge(channel.meter.advance(event.ts))
        if self._settings.learning.reactions:
            channel.meter.receive(event)
        if isinstance(event, StreamEvent) and event.kind == "raid":
            channel.raided = event.ts
        if not self._settings.learning.votes:
            return
        if isinstance(event, Reply):
            channel.ballot.note_reply(event)
        elif isinstance(event, ChatMessage):
            await self._hear(channel, event)

    async def _hear(self, channel: _Channel, message: ChatMessage) -> None:
        if channel.reader.is_cohost(message.user):
            channel.ballot.note_own(message)
            return
        if message.blocked or from_another_room(message):
            return
        value = channel.votes.read(message)
        if not value or channel.meter.room.is_none_of_the_audience(message):
            return
        voter = f"{message.channel}:{message.user.casefold()}"
        turn = channel.ballot.judged_by(message)
        if not turn or self._limiter.take(voter) > 0:
            return
        source = _source(message)
        weight = WEIGHTS[source]
        if source == "viewer" and not await self._counts(channel, message):
            weight = 0.0
        await self._store(
            Judgement(
                experience=turn,
                kind="thumb",
                by=message.user.casefold(),
                source=source,
                value=value,
                weight=weight,
                ts=message.ts,
            )
        )

    async def _counts(self, channel: _Channel, message: ChatMessage) -> bool:
        """Whether a viewer's vote counts: not a newcomer's, and none while a raid is on."""
        if message.first:
            return False
        if channel.raided is not None and 0 <= message.ts - channel.raided < RAID_MS:
            return False
        old = self._settings.learning.newcomer_minutes * 60_000
        if not old:
            return True
        try:
            seen = await self._viewers.first_seen(message.platform, message.user)
        except StorageError as error:
            logger.warning("a vote does not count: %s", error)
            return False
        return seen is not None and message.ts - seen >= old

    async def _settle(self) -> None:
        """Judge the moments that are over, also while nobody writes."""
        now = self._now()
        for channel in list(self._channels.values()):
            time = max(channel.newest, now - channel.behind)
            await self._judge(channel.meter.advance(time))

    async def _judge(self, moments: Sequence[Moment]) -> None:
        for moment in moments:
            try:
                await self._judge_one(moment)
            except StorageError as error:
                logger.warning("the reaction to %s is not stored: %s", moment.id, error)

    async def _judge_one(self, moment: Moment) -> None:
        if moment.kind == "reply" and not moment.masked_by:
            experience = await self._experiences.get(moment.id)
            if experience is None:
                return
            if experience.blocked or WITHHELD in experience.events.split(","):
                moment = msgspec.structs.replace(moment, masked_by="safety")
        row = self._rewards.judge(moment)
        await self._reactions.add(row)
        label = self._rewards.label(row)
        if label is not None:
            await self._store(
                Judgement(
                    experience=row.id,
                    kind="reward",
                    by=ROOM,
                    source="system",
                    value=label.value,
                    weight=label.weight,
                    ts=row.ts,
                )
            )

    async def _store(self, judgement: Judgement) -> None:
        try:
            await self._feedback.give(judgement)
        except NoSuchReply:
            # A moderator had it taken back, or the disk refused it.
            logger.info("%s is judged, but not stored", judgement.experience)
        except StorageError as error:
            logger.warning("a judgement of %s is not stored: %s", judgement.experience, error)

    async def _channel(self, event: Event) -> _Channel:
        channel = self._channels.get(event.channel)
        if channel is None:
            channel = self._channels[event.channel] = self._open(event.channel)
            try:
                self._rewards.remember(await self._reactions.newest(event.channel, REMEMBERED))
            except StorageError as error:
                logger.warning("former reactions are not looked at: %s", error)
        behind = self._now() - event.ts
        channel.behind = behind if abs(behind) > _RECORDED_MS else 0
        channel.newest = max(channel.newest, event.ts)
        self._channels.move_to_end(event.channel)
        if len(self._channels) > MAX_CHANNELS:
            self._channels.popitem(last=False)
        return channel

    def _open(self, name: str) -> _Channel:
        settings, persona = self._settings, self._settings.persona
        streamer = persona.streamer or name
        reader = AddressReader([persona.name, *persona.aliases], [streamer])
        prefix = settings.director.command_prefix
        room = Room(
            reader,
            bots=settings.director.bots,
            command_prefix=prefix,
            score=lambda text: self._score(name, text),
            laughs=self._laughs,
        )
        votes = VoteReader(prefix, reader)
        return _Channel(ReactionMeter(name, room), reader, votes, Ballot())


def _source(message: ChatMessage) -> FeedbackSource:
    match message.role:
        case "streamer" | "moderator":
            return message.role
        case _:
            return "viewer"
