"""One channel over the real engine: every message gets one fate, whatever happens when."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.conftest import Engine
from understudy.config import Settings
from understudy.engine.channel import KNOWN_IDS, Channel, StreamInput
from understudy.engine.clock import Clock, ScaledClock, SimulatedClock
from understudy.engine.runs import Run
from understudy.engine.turn import TurnRequest
from understudy.engine.turns import Turns
from understudy.events import ChatMessage, Decision, Event, Moderation, Reply, StreamEvent
from understudy.storage.errors import LogUnavailable


class HandClock(Clock):
    """Stands still until it is moved; its timers never fire by themselves."""

    def __init__(self) -> None:
        self.time = 1_000_000

    def now(self) -> int:
        return self.time

    def real_seconds(self, stream_ms: int) -> float:
        return 3_600.0


class Door:
    """The real turns behind a door that can be shut, or held for a while."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()

    async def start(self, request: TurnRequest) -> Run:
        self.waiting.set()
        await self.open.wait()
        self.waiting.clear()
        if self.error is not None:
            raise self.error
        return await self._turns.start(request)


class Stage:
    """A channel with what a test does to it and what it published."""

    def __init__(
        self, engine: Engine, clock: Clock | None = None, name: str = "harbor", **changes: object
    ) -> None:
        self.engine = engine
        self.clock = clock or HandClock()
        self.door = Door(engine.turns)
        self.published: list[Event] = []
        config = Settings()
        director = config.director.model_copy(update=changes)
        self.channel = Channel(
            name,
            config.model_copy(update={"director": director}),
            self.door,  # pyright: ignore[reportArgumentType]
            self.publish,
            clock=self.clock,
        )

    async def publish(self, event: Event) -> None:
        # As a bus that is full would: others get their turn in the middle of everything.
        await asyncio.sleep(0)
        self.published.append(event)

    async def say(self, number: int, text: str, user: str = "", **fields: object) -> None:
        await self.channel.receive(message(number, text, user, **fields))

    def decisions(self) -> list[Decision]:
        return [event for event in self.published if isinstance(event, Decision)]

    def fates(self) -> list[tuple[str, str]]:
        return [(decision.message_id, decision.reason) for decision in self.decisions()]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while True:
                if true():
                    return
                await asyncio.sleep(0.001)

    def replies(self) -> list[Reply]:
        return [event for event in self.engine.published if isinstance(event, Reply)]


def message(number: int, text: str, user: str = "", **fields: object) -> ChatMessage:
    return ChatMessage(
        id=f"m{number}", channel="harbor", ts=number, user=user or f"u{number}", text=text, **fields
    )


def act(number: int, kind: str, **fields: str) -> Moderation:
    return Moderation(id=f"x{number}", channel="harbor", ts=number, kind=kind, **fields)


@pytest.fixture
async def stage(engine: Engine) -> AsyncIterator[Stage]:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    stage = Stage(engine)
    yield stage
    stage.door.open.set()
    stage.channel.skip()
    async with asyncio.timeout(5):
        await stage.channel.close()


# --- the way of one message


async def test_a_mention_is_published_decided_and_answered(stage: Stage) -> None:
    stage.engine.brain.free = True
    await stage.say(1, "undy, hello\u202e there", role="streamer")
    await stage.until(lambda: bool(stage.replies()))
    published = stage.published
    assert isinstance(published[0], ChatMessage)
    assert "\u202e" not in published[0].text
    decision = stage.decisions()[0]
    assert (decision.action, decision.reason) == ("answered", "mention")
    assert decision.turn == stage.replies()[0].turn
    assert decision.detail.endswith(".")
    assert stage.replies()[0].in_reply_to == "m1"


async def test_a_blocked_message_is_marked_and_reaches_no_director(stage: Stage) -> None:
    await stage.say(1, "undy " + "a" * 60)
    message, decision = stage.published[0], stage.decisions()[0]
    assert isinstance(message, ChatMessage)
    assert message.blocked
    assert (decision.action, decision.reason) == ("blocked", "repetition")


async def test_recent_chat_goes_along_without_what_was_removed(stage: Stage) -> None:
    await stage.say(1, "the kettle is on", "ana")
    await stage.say(2, "that is rude", "troll")
    await stage.say(3, "a second thing", "ben")
    await stage.channel.receive(act(1, "timeout", user="TROLL"))
    await stage.channel.receive(act(2, "delete", message_id="m3"))
    await stage.say(4, "undy, what is on?", "cleo")
    brain = stage.engine.brain
    await stage.until(lambda: bool(brain.requests))
    prompt = "\n".join(m.content for m in brain.requests[0].messages)
    assert "kettle" in prompt
    assert "rude" not in prompt
    assert "second thing" not in prompt


async def test_thanks_are_asked_for_with_the_events_own_facts(stage: Stage) -> None:
    raid = StreamEvent(
        id="e1", channel="harbor", ts=1, kind="raid", user="cap", name="Cap", amount=40
    )
    await stage.channel.receive(raid)
    brain = stage.engine.brain
    await stage.until(lambda: bool(brain.requests))
    request = brain.requests[0]
    assert (request.task, request.event, request.amount, request.viewer) == (
        "thanks",
        "raid",
        40,
        "Cap",
    )
    assert stage.fates() == [("e1", "stream_event")]


async def test_what_is_handed_in_again_is_handled_once(stage: Stage) -> None:
    for _ in range(3):
        await stage.say(1, "good evening")
    assert stage.fates() == [("m1", "not_addressed")]
    for number in range(2, KNOWN_IDS + 3):
        await stage.say(number, "!x")
    await stage.say(1, "good evening")
    assert stage.fates()[-1] == ("m1", "not_addressed")
    assert stage.fates().count(("m1", "not_addressed")) == 2


# --- ends of a reply


async def test_deleting_the_message_that_is_answered_ends_the_reply(stage: Stage) -> None:
    await stage.say(1, "undy, hello")
    await stage.until(lambda: bool(stage.engine.brain.requests))
    await stage.channel.receive(act(1, "delete", message_id="m1"))
    await stage.until(lambda: bool(stage.replies()))
    assert stage.replies()[0].status == "stopped"


@pytest.mark.parametrize("how", ["mute", "skip", "delete", "close"])
async def test_a_reply_that_is_only_just_starting_can_be_ended(stage: Stage, how: str) -> None:
    stage.door.open.clear()
    saying = asyncio.create_task(stage.say(1, "undy, hello"))
    await stage.door.waiting.wait()
    ending: Awaitable[object] | None = None
    if how == "skip":
        assert stage.channel.skip()
    elif how == "mute":
        await stage.channel.mute(True)
    elif how == "delete":
        await stage.channel.receive(act(1, "delete", message_id="m1"))
    else:
        ending = asyncio.create_task(stage.channel.close())
        await asyncio.sleep(0)
    stage.door.open.set()
    async with asyncio.timeout(5):
        await saying
        if ending is not None:
            await ending
    await stage.until(lambda: bool(stage.replies()))
    assert [reply.status for reply in stage.replies()] == ["stopped"]
    assert stage.fates() == [("m1", "mention")]


async def test_muting_settles_what_waits_and_unmuting_answers_again(stage: Stage) -> None:
    await stage.say(1, "undy, hello")
    await stage.say(2, "undy, hello")
    await stage.channel.mute(True)
    await stage.say(3, "undy, hello")
    await stage.channel.mute(False)
    await stage.until(lambda: bool(stage.replies()))
    assert isinstance(stage.clock, HandClock)
    stage.clock.time += 10_000
    await stage.say(4, "undy, hello")
    await stage.until(lambda: len(stage.fates()) == 4)
    assert stage.fates() == [
        ("m1", "mention"),
        ("m2", "muted"),
        ("m3", "muted"),
        ("m4", "mention"),
    ]
    assert not Stage(stage.engine).channel.skip()


async def test_closing_settles_what_waits_and_what_still_comes(stage: Stage) -> None:
    await stage.say(1, "undy, hello")
    await stage.say(2, "undy, hello")
    stage.channel.skip()
    await stage.channel.close()
    await stage.say(3, "undy, hello")
    await stage.channel.receive(
        StreamEvent(id="e1", channel="harbor", ts=1, kind="raid", user="cap")
    )
    assert stage.fates() == [
        ("m1", "mention"),
        ("m2", "stream_ended"),
        ("m3", "stream_ended"),
        ("e1", "stream_ended"),
    ]


# --- trouble


@pytest.mark.parametrize(
    ("error", "said"),
    [(LogUnavailable("the disk is full"), "the disk is full."), (KeyError("x"), "server's log")],
)
async def test_a_reply_that_cannot_start_is_told_and_the_next_one_can(
    stage: Stage, error: Exception, said: str
) -> None:
    stage.door.error = error
    await stage.say(1, "undy, hello")
    decision = stage.decisions()[0]
    assert (decision.action, decision.reason) == ("skipped", "unavailable")
    assert said in decision.detail
    stage.door.error = None
    assert isinstance(stage.clock, HandClock)
    stage.clock.time += 10_000
    await stage.say(2, "undy, hello")
    assert stage.fates()[1] == ("m2", "mention")


async def test_a_source_that_is_cancelled_in_the_middle_leaves_the_channel_in_order(
    stage: Stage,
) -> None:
    stage.door.open.clear()
    saying = asyncio.create_task(stage.say(1, "undy, hello"))
    await stage.door.waiting.wait()
    saying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saying
    assert stage.fates() == [("m1", "stream_ended")]
    stage.door.open.set()
    assert isinstance(stage.clock, HandClock)
    stage.clock.time += 10_000
    await stage.say(2, "undy, hello")
    assert stage.fates()[1] == ("m2", "mention")


# --- time


async def test_live_time_wakes_the_channel_for_what_waits(engine: Engine) -> None:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    engine.brain.free = True
    stage = Stage(engine, ScaledClock(0, 1_000.0), max_age=1_000.0, quiet_after=0)
    for number in range(4):
        await stage.say(number, "undy, hello")
    await stage.until(lambda: len(stage.replies()) == 4)
    await stage.channel.close()
    assert Counter(reason for _, reason in stage.fates()) == {"mention": 4}


async def test_simulated_time_answers_at_once_and_holds_the_floor(engine: Engine) -> None:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    engine.brain.free = True
    clock = SimulatedClock(0)
    stage = Stage(engine, clock, cooldown=4.0)
    await stage.say(1, "undy, hello")
    await stage.say(2, "undy, hello")
    assert [reply.in_reply_to for reply in stage.replies()] == ["m1"]
    await stage.channel.advance(100_000)
    assert [reply.in_reply_to for reply in stage.replies()] == ["m1", "m2"]
    # Five words at three a second, then the pause.
    assert stage.decisions()[1].ts == 1_666 + 4_000
    await stage.channel.close()
    await stage.channel.advance(200_000)


async def test_simulated_time_outlives_a_reply_that_broke_off(engine: Engine) -> None:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    engine.brain.free = True
    engine.brain.error = ValueError("the model broke")
    stage = Stage(engine, SimulatedClock(0), cooldown=0)
    await stage.say(1, "undy, hello")
    engine.brain.error = None
    await stage.say(2, "undy, hello")
    assert [reply.status for reply in stage.replies()] == ["failed", "complete"]


# --- anything at any time


TEXTS = [
    "undy hi",
    "undy, what now?",
    "hey undy",
    "hello all",
    "what is this game?",
    "@bob hey",
    "!cmd",
    "undy why?",
    "undy " + "a" * 60,
    "wren, is it on?",
]
USERS = ["ana", "ben", "cleo", "dan", "eve", "wren_w", "nightbot"]
SWITCHES = ["clear", "mute", "unmute", "unmute", "skip", "shut", "hold", "settle", "again"]
SWITCHES += ["open", "open"]
STEP = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(USERS), st.sampled_from(TEXTS)),
    st.tuples(st.just("say"), st.sampled_from(USERS), st.sampled_from(TEXTS)),
    st.tuples(st.just("event"), st.sampled_from(["raid", "cheer", "other"]), st.just("")),
    st.tuples(st.just("delete"), st.integers(0, 30), st.just("")),
    st.tuples(st.sampled_from(["timeout", "ban"]), st.sampled_from(USERS), st.just("")),
    st.tuples(st.sampled_from(SWITCHES), st.just(""), st.just("")),
    st.tuples(st.just("wait"), st.integers(1, 20_000), st.just("")),
    st.tuples(st.just("permit"), st.integers(1, 6), st.just("")),
)
EXAMPLES = itertools.count()


class Play:
    """Does things to a channel without waiting for one before the next."""

    def __init__(self, stage: Stage) -> None:
        self.handed: list[StreamInput] = []
        self._stage = stage
        self._tasks: list[asyncio.Task[None]] = []

    async def step(self, number: int, kind: str, one: object, two: object) -> None:
        stage = self._stage
        match kind:
            case "say":
                self._hand_in(message(number, str(two), str(one)))
            case "event":
                fields = {"id": f"m{number}", "channel": "harbor", "ts": number, "user": "cap"}
                self._hand_in(StreamEvent(**fields, kind=one))
            case "again":
                for event in self.handed[-1:]:
                    self._do(stage.channel.receive(event))
            case "mute" | "unmute":
                self._do(stage.channel.mute(kind == "mute"))
            case "timeout" | "ban" | "clear" | "delete":
                removal = act(number, kind, message_id=f"m{one}", user=str(one))
                self._do(stage.channel.receive(removal))
            case _:
                await self._disturb(kind, one)
        await asyncio.sleep(0)

    async def _disturb(self, kind: str, one: object) -> None:
        stage = self._stage
        match kind:
            case "shut":
                stage.door.error = LogUnavailable("the disk is full")
            case "hold":
                stage.door.open.clear()
            case "open":
                stage.door.error = None
                stage.door.open.set()
            case "skip":
                stage.channel.skip()
            case "permit":
                stage.engine.brain.permit(stage.channel.session, int(str(one)))
            case "wait":
                assert isinstance(stage.clock, HandClock)
                stage.clock.time += int(str(one))
            case _:
                await asyncio.sleep(0.001)

    async def end(self) -> None:
        self._do(self._stage.channel.close())
        await asyncio.sleep(0)
        self._stage.door.open.set()
        self._stage.channel.skip()
        async with asyncio.timeout(10):
            await asyncio.gather(*self._tasks)

    def _hand_in(self, event: StreamInput) -> None:
        self.handed.append(event)
        self._do(self._stage.channel.receive(event))

    def _do(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))


@given(st.lists(STEP, min_size=5, max_size=40))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_message_has_exactly_one_fate(
    engine: Engine, steps: list[tuple[object, ...]]
) -> None:
    stage = Stage(engine, name=f"c{next(EXAMPLES)}", max_waiting=3, cooldown=1.0)
    await engine.sessions.get_or_create(stage.channel.session, "chat", "default")
    play = Play(stage)
    for number, (kind, one, two) in enumerate(steps):
        await play.step(number, str(kind), one, two)
    await play.end()
    decisions = stage.decisions()
    assert Counter(decision.message_id for decision in decisions) == Counter(
        event.id for event in play.handed
    )
    for decision in decisions:
        assert decision.reason
        assert decision.detail.endswith(".")
        assert (decision.action == "answered") == bool(decision.turn)
    order = [event.id for event in stage.published]
    for decision in decisions:
        assert order.index(decision.message_id) < order.index(decision.id)
