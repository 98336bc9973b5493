"""Plays the channel into the database, as the server would have written it.

Chat messages, raids and bans go over the bus to the archive and to the audience, which reads the
votes out of the chat; exchanges are logged in the words of a turn. Does not own what happens
(`weeks`).

What is left out of a real stream is the director and the model: which message is answered, and with
which candidate, is drawn beforehand.
"""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Literal, Self

from scripts.learn_demo.weeks import MINUTE, SECOND, Spoken
from scripts.learn_demo.world import SYSTEM
from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.archive import Archive
from understudy.engine.known_events import KnownEvents
from understudy.events import ChatMessage, Event, Moderation, Reply, StreamEvent
from understudy.learning.feedback import Feedback
from understudy.learning.reactions.audience import Audience
from understudy.safety.untrusted import SYSTEM_RULE, quote_viewer
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.reactions import Reactions
from understudy.storage.rows import ExperienceRow
from understudy.storage.viewers import Viewers

CHANNEL = "pixelharbor"


class Stream:
    """The channel on the air; an async context manager."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.log = LogWriter(database)
        experiences = Experiences(database)
        self.feedback = Feedback(experiences, self.log)
        self._bus = Bus()
        self._archive = Archive(self._bus, self.log)
        self._audience = Audience(
            *(self._bus, settings, self.feedback, experiences),
            *(Reactions(database), Viewers(database)),
            is_live=lambda channel: channel == CHANNEL,
            score=lambda channel, text: 0.0,
        )
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Go on the air."""
        await self.log.start()
        self._exit.push_async_callback(self.log.close)
        self._archive.start()
        self._exit.push_async_callback(self._archive.close)
        self._audience.start()
        self._exit.push_async_callback(self._audience.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Go off the air, with everything stored."""
        await self._exit.aclose()

    async def meet(self, names: Iterable[str], ts: int) -> None:
        """Everybody says hello, so that they are no newcomers later."""
        await self._publish([_message(f"hi_{name}", name, "hi", ts) for name in names])

    async def play(self, spoken: Iterable[Spoken], others: Sequence[Event] = ()) -> None:
        """Play exchanges with what is voted on them, and `others` among them."""
        known = KnownEvents()
        for event in others:
            if isinstance(event, StreamEvent):
                known.note(event)
        events = list(others)
        for each in spoken:
            await self.log.put(_row(each, known))
            events += _told(each)
        # A vote on a reply that is not stored yet would be lost.
        await self.log.flushed()
        await self._publish(sorted(events, key=lambda event: event.ts))

    async def ban(self, names: Iterable[str], ts: int) -> None:
        """Moderators ban everybody of these names."""
        await self._publish([act("ban", name, ts) for name in names])

    async def _publish(self, events: Sequence[Event]) -> None:
        """Send events, and wait until they are stored and their votes counted."""
        for event in events:
            await self._bus.publish(event)
        await self._bus.drained()
        await self.log.flushed()


def act(kind: Literal["timeout", "ban"], name: str, ts: int) -> Moderation:
    """A moderator's act against somebody."""
    return Moderation(id=f"{kind}_{name}", channel=CHANNEL, ts=ts, kind=kind, user=name)


def raid_with_timeouts(begin: int, raiders: Sequence[str]) -> list[Event]:
    """A raid, and moderators who time out `raiders` some minutes later."""
    came = StreamEvent(id="raid", channel=CHANNEL, ts=begin, kind="raid", user=raiders[0])
    acts = [
        act("timeout", name, begin + 5 * MINUTE + number * SECOND)
        for number, name in enumerate(raiders)
    ]
    return [came, *acts]


def _row(spoken: Spoken, known: KnownEvents) -> ExperienceRow:
    """The exchange as `engine.turn` stores it."""
    exchange = spoken.exchange
    return ExperienceRow(
        id=f"run_{spoken.id}",
        ts=spoken.ts + SECOND,
        channel=CHANNEL,
        session=f"channel_{CHANNEL}",
        user=spoken.asker,
        persona="default",
        model="candidates",
        prompt_messages=[
            {"role": "system", "content": f"{SYSTEM}\n\n{SYSTEM_RULE}"},
            {"role": "user", "content": quote_viewer(spoken.asker, exchange.question)},
        ],
        prompt_text=exchange.question,
        response=exchange.reply,
        status="complete",
        in_reply_to=spoken.id,
        origin="stream",
        events=",".join(known.around(spoken.ts)),
    )


def _told(spoken: Spoken) -> list[Event]:
    """The question, the reply, and the votes."""
    question, first = spoken.exchange.question, spoken.first
    reply = Reply(
        id=f"reply_{spoken.id}",
        channel=CHANNEL,
        ts=spoken.ts + SECOND,
        turn=f"run_{spoken.id}",
        session=f"channel_{CHANNEL}",
        user=spoken.asker,
        text=spoken.exchange.reply,
        status="complete",
        model="candidates",
        persona="default",
        in_reply_to=spoken.id,
    )
    word = "!good" if spoken.vote > 0 else "!bad"
    votes = [
        _message(f"{spoken.id}_vote{n}", name, word, reply.ts + (1 + n) * SECOND, first=first)
        for n, name in enumerate(spoken.voters)
    ]
    return [_message(spoken.id, spoken.asker, question, spoken.ts, first=first), reply, *votes]


def _message(name: str, user: str, text: str, ts: int, *, first: bool = False) -> ChatMessage:
    return ChatMessage(id=name, channel=CHANNEL, ts=ts, user=user, text=text, first=first)
