"""One stream's chat, from the raw event to the started reply.

Owns the order of things in a channel: clean, filter, publish, decide, answer. Events of a channel
are handled one after another; replies are made in tasks of their own. Does not choose
(`director`) and does not make replies (`turns`).
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from understudy.config import Settings
from understudy.engine.addressing import AddressReader, from_another_room, no_account
from understudy.engine.candidates import Candidate, Outcome, SkipReason, StreamSource, removes
from understudy.engine.clock import Clock, SimulatedClock
from understudy.engine.director import Director
from understudy.engine.known_events import KnownEvents
from understudy.engine.runs import Run
from understudy.engine.sessions import SessionEnded
from understudy.engine.turn import TurnRequest
from understudy.engine.turns import Busy, Turns
from understudy.events import ChatMessage, Decision, Event, Moderation, Role, StreamEvent
from understudy.safety.moderation import InputFilter
from understudy.safety.text import clean
from understudy.storage.errors import StorageError
from understudy.storage.rows import ExperienceOrigin

logger = logging.getLogger(__name__)

KNOWN_IDS = 4_096
"""Ids of the newest events: a source that goes on after a break may hand some in again, and two
that read the same chat hand in everything twice."""
KNOWN_ANSWERS = 200
"""Newest answers that are taken back when a moderator removes what they answer."""
RECENT_CHAT = 30
"""Messages of the room kept as context for a reply."""
WORDS_PER_SECOND = 3.0
"""Pace of speech, used to tell how long a reply holds the floor in simulated time."""

StreamInput = ChatMessage | StreamEvent | Moderation

_ENDED: tuple[SkipReason, str] = ("stream_ended", "The stream ended first.")


class Channel:
    """Handles the events of one channel with a director of its own."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        turns: Turns,
        publish: Callable[[Event], Awaitable[None]],
        *,
        clock: Clock | None = None,
        origin: ExperienceOrigin = "stream",
        run_prefix: str = "",
        input_filter: InputFilter | None = None,
        account: Callable[[], str] = no_account,
    ) -> None:
        """`account` tells the login under which the co-host itself writes in the chat, if any."""
        self.name = name
        self._settings = settings
        self._turns = turns
        self._publish = publish
        self._clock = clock or Clock()
        self._origin: ExperienceOrigin = origin
        self._run_prefix = run_prefix
        self._streamer = settings.persona.streamer or name
        cohost = [settings.persona.name, *settings.persona.aliases]
        self.director = Director(
            settings.director, AddressReader(cohost, [self._streamer], account)
        )
        self._filter = input_filter or InputFilter(settings.safety.blocked_words)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._recent: deque[ChatMessage] = deque(maxlen=RECENT_CHAT)
        self._known_events = KnownEvents()
        # What is being answered; its run follows when the turn has started.
        self._answering: Candidate | None = None
        self._run: Run | None = None
        self._cut = self._removed = False
        # What was answered and by which run, so that a moderator's act reaches it afterwards.
        self._answers: deque[tuple[StreamSource, str]] = deque(maxlen=KNOWN_ANSWERS)
        self._settled = asyncio.Event()
        self._settled.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at: int | None = None
        self._closed = False

    @property
    def session(self) -> str:
        """Id of the session that holds the channel's conversation."""
        return f"{self._run_prefix or 'channel_'}{self.name}"

    async def receive(self, event: StreamInput) -> None:
        """Handle the next event of this channel; one that is handed in again is ignored."""
        if self._is_known(event):
            return
        now = self._clock.now()
        if isinstance(event, ChatMessage):
            await self._receive_message(event, now)
        elif isinstance(event, StreamEvent):
            self._known_events.note(event)
            await self._publish(event)
            await self._consider(event, now)
        else:
            await self._receive_moderation(event, now)
        await self._step(now)

    async def advance(self, to: int) -> None:
        """In simulated time: do everything that falls due until `to`."""
        while not self._closed and (wake := self.director.wake_at()) is not None and wake <= to:
            await self._step(max(wake, self._clock.now()))

    async def mute(self, muted: bool) -> None:
        """Stop or start answering; muting also ends the reply under way."""
        self.director.muted = muted
        if muted:
            self.skip()
            settled = self.director.dismiss("muted", "The co-host was muted.")
            await self._record(settled, self._clock.now())

    def hold(self, until: int) -> None:
        """Begin no reply before `until` (stream time in ms), as while the streamer speaks.

        A newer call replaces an older one. The reply under way goes on.
        """
        self.director.hold(until)
        self._schedule()

    def skip(self) -> bool:
        """End the reply under way; False when there is none."""
        if self._answering is None:
            return False
        if self._run is not None:
            return self._run.stop("stopped")
        self._cut = True
        return True

    async def close(self) -> None:
        """Settle what still waits and let the reply under way end."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        await self._record(self.director.dismiss(*_ENDED), self._clock.now())
        await self._settled.wait()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _is_known(self, event: StreamInput) -> bool:
        if event.id in self._known:
            return True
        self._known[event.id] = None
        if len(self._known) > KNOWN_IDS:
            self._known.popitem(last=False)
        return False

    async def _receive_message(self, message: ChatMessage, now: int) -> None:
        text = clean(message.text)
        verdict = self._filter.check(text)
        if text != message.text or not verdict.allowed:
            message = msgspec.structs.replace(message, text=text, blocked=not verdict.allowed)
        await self._publish(message)
        if not verdict.allowed:
            blocked = Outcome(message, "blocked", verdict.rule, verdict.detail)
            await self._record([blocked], now)
            return
        self._recent.append(message)
        await self._consider(message, now)

    async def _consider(self, source: ChatMessage | StreamEvent, now: int) -> None:
        # The channel may have been closed while the event was published.
        if self._closed:
            outcomes = [Outcome(source, "skipped", *_ENDED)]
        elif isinstance(source, ChatMessage):
            outcomes = self.director.consider(source, now)
        else:
            outcomes = self.director.consider_event(source, now)
        await self._record(outcomes, now)

    async def _receive_moderation(self, act: Moderation, now: int) -> None:
        await self._publish(act)
        kept = [message for message in self._recent if not removes(act, message)]
        if len(kept) != len(self._recent):
            self._recent = deque(kept, maxlen=RECENT_CHAT)
        await self._record(self.director.moderate(act), now)
        if self._answering is not None and removes(act, self._answering.source):
            self._removed = True
            self.skip()
        removed = [answer for answer in self._answers if removes(act, answer[0])]
        for answer in removed:
            self._answers.remove(answer)
            self._take_back(answer[1])

    def _take_back(self, run: str) -> None:
        """Forget an exchange whose message is gone from the chat."""
        self._turns.forget(self.session, run)
        self._spawn(self._turns.erase(run), f"erase {run}")

    async def _step(self, now: int) -> None:
        """Let go of what is too old, answer what is next, and set the timer for the rest."""
        if isinstance(self._clock, SimulatedClock):
            self._clock.set(now)
        await self._record(self.director.expire(now), now)
        while not self._closed and (candidate := self.director.pick(now)) is not None:
            if not candidate.control:
                await self._answer(candidate, now)
                break
            await self._withhold(candidate, now)
        self._schedule()

    async def _withhold(self, candidate: Candidate, now: int) -> None:
        detail = "It was drawn to be left unanswered, to learn what answers change."
        outcome = Outcome(candidate.source, "skipped", "silent_control", detail, candidate.score)
        await self._record([outcome], now)

    async def _answer(self, candidate: Candidate, now: int) -> None:
        self._answering, self._run, self._cut, self._removed = candidate, None, False, False
        self._settled.clear()
        try:
            if isinstance(candidate.source, StreamEvent) and candidate.reason != "stream_event":
                await self._publish(candidate.source)
            run = await self._turns.start(self._request(candidate, now))
        except asyncio.CancelledError:
            await self._give_up(candidate, now, *_ENDED)
            raise
        except (Busy, SessionEnded, StorageError) as error:
            await self._give_up(candidate, now, "unavailable", f"{error}.")
            return
        except Exception:
            logger.exception("channel %s cannot answer %s", self.name, candidate.source.id)
            detail = "The answer could not be started: see the server's log."
            await self._give_up(candidate, now, "unavailable", detail)
            return
        self._run = run
        if self._removed:
            self._take_back(run.id)
        else:
            self._answers.append((candidate.source, run.id))
        if self._cut or self._closed:
            run.stop("stopped")
        if not isinstance(self._clock, SimulatedClock):
            self._spawn(self._watch(run), f"watch {run.id}")
        source, why = candidate.source, (candidate.reason, candidate.detail, candidate.score)
        await self._record([Outcome(source, "answered", *why)], now, turn=run.id)
        if isinstance(self._clock, SimulatedClock):
            await self._conclude(run, now)

    async def _give_up(self, candidate: Candidate, now: int, reason: str, detail: str) -> None:
        self._is_over(now)
        outcome = Outcome(candidate.source, "skipped", reason, detail, candidate.score)
        await self._record([outcome], now)

    async def _conclude(self, run: Run, now: int) -> None:
        """Simulated time: the reply is made at once and holds the floor as if it were spoken."""
        try:
            await run.ended.wait()
        finally:
            text = run.text()
            self.director.hear(text, now)
            self._is_over(now + int(len(text.split()) / WORDS_PER_SECOND * 1000))

    async def _watch(self, run: Run) -> None:
        await run.ended.wait()
        now = self._clock.now()
        self.director.hear(run.text(), now)
        self._is_over(now)
        await self._step(now)

    def _is_over(self, at: int) -> None:
        """The floor is free again from `at`."""
        self._answering = self._run = None
        self._settled.set()
        self.director.finished(at)

    def _request(self, candidate: Candidate, now: int) -> TurnRequest:
        source = candidate.source
        thanks = candidate.reason == "stream_event"
        event = source if isinstance(source, StreamEvent) else None
        return TurnRequest(
            session=self.session,
            user=source.user or source.display_name,
            role=_standing(source),
            viewer=source.display_name,
            text=source.text or (f"({event.kind})" if thanks and event else ""),
            persona=self._settings.persona.default,
            recent_chat=tuple(message for message in self._recent if message.id != source.id),
            channel=self.name,
            streamer=self._streamer,
            origin=self._origin,
            in_reply_to=source.id,
            task="thanks" if thanks else "chat",
            cue=candidate.cue,
            event=event.kind if thanks and event else "",
            amount=event.amount if thanks and event else 0,
            run=f"{self._run_prefix}{source.id}" if self._run_prefix else "",
            ts=now,
            known_events=self._known_events,
        )

    async def _record(self, outcomes: list[Outcome], now: int, turn: str = "") -> None:
        for outcome in outcomes:
            source = outcome.source
            await self._publish(
                Decision(
                    id=f"{source.id}:decision",
                    channel=self.name,
                    ts=now,
                    message_id=source.id,
                    message_ts=source.ts,
                    user=source.user,
                    action=outcome.action,
                    reason=outcome.reason,
                    detail=outcome.detail,
                    score=outcome.score,
                    turn=turn,
                )
            )

    def _schedule(self) -> None:
        simulated = isinstance(self._clock, SimulatedClock)
        wake = None if simulated or self._closed else self.director.wake_at()
        if wake == self._wakes_at:
            # The usual case in a busy chat: what is due next is no other than before.
            return
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._wakes_at = wake
        if wake is not None:
            delay = self._clock.real_seconds(wake - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer = self._wakes_at = None
        self._spawn(self._step(self._clock.now()), f"wake {self.name}")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)


def _standing(source: StreamSource) -> Role:
    """The rights of whoever is answered: events and writers in another room have none here."""
    if isinstance(source, StreamEvent) or from_another_room(source):
        return "viewer"
    return source.role
