"""One channel over the real engine: every message gets one fate, whatever happens when."""

import asyncio
import itertools
import zlib
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

    def forget(self, session: str, run: str) -> None:
        self._turns.forget(session, run)

    async def erase(self, run: str) -> None:
        await self._turns.erase(run)


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


# --- what is taken back


async def conversation(stage: Stage) -> list[str]:
    """Who speaks in the conversation; the one at hand is the one that is stored."""
    session = stage.channel.session
    at_hand = await stage.engine.sessions.history(session)
    await stage.engine.log.flushed()
    stored = await stage.engine.stored.messages(session)
    assert {(m.id, m.text) for m in at_hand} == {(m.id, m.text) for m in stored}
    return [message.user for message in at_hand]


async def test_a_deleted_message_leaves_the_conversation_with_its_answer(engine: Engine) -> None:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    engine.brain.free = True
    stage = Stage(engine, SimulatedClock(0), cooldown=0)
    for number, user in enumerate(["ana", "troll", "ben", "cleo"]):
        await stage.say(number, "undy, hello", user)
        await stage.channel.advance(number * 10_000 + 10_000)
    assert (await conversation(stage))[::2] == ["ana", "troll", "ben", "cleo"]
    await stage.channel.receive(act(1, "timeout", user="Troll"))
    await stage.channel.receive(act(2, "delete", message_id="m2"))
    at_hand = await engine.sessions.history(stage.channel.session)
    assert [m.user for m in at_hand] == ["ana", "Understudy", "cleo", "Understudy"], "at once"
    await stage.channel.close()
    assert await conversation(stage) == ["ana", "Understudy", "cleo", "Understudy"]


@pytest.mark.parametrize("when", ["starting", "speaking"])
async def test_a_message_deleted_in_mid_reply_leaves_nothing_behind(
    stage: Stage, when: str
) -> None:
    if when == "starting":
        stage.door.open.clear()
    saying = asyncio.create_task(stage.say(1, "undy, hello", "troll"))
    await stage.until(
        lambda: stage.door.waiting.is_set() if when == "starting" else bool(stage.decisions())
    )
    stage.engine.brain.permit(stage.channel.session, 2)
    await asyncio.sleep(0)
    await stage.channel.receive(act(1, "delete", message_id="m1"))
    stage.door.open.set()
    await saying
    await stage.until(lambda: bool(stage.replies()))
    assert stage.replies()[0].status == "stopped"
    await stage.channel.close()
    assert await conversation(stage) == []


# --- what the model is told


async def asked(stage: Stage) -> str:
    """What the brain was asked last."""
    brain = stage.engine.brain
    await stage.until(lambda: bool(brain.requests))
    return brain.requests[-1].messages[-1].content


async def test_the_model_is_told_of_a_crowd(stage: Stage) -> None:
    stage.channel.hold(stage.clock.now() + 1_000)
    for number in range(5):
        await stage.say(number, "what game is this?", f"u{number}", name=f"User{number}")
    assert not stage.engine.brain.requests
    stage.channel.hold(0)
    await stage.say(9, "hm")
    told = await asked(stage)
    assert "5 people in the chat say this" in told
    assert "User4, User3, User2:" in told
    assert told.endswith('<chat from="User0">what game is this?</chat>')
    assert Counter(reason for _, reason in stage.fates()) == {
        "crowd": 4,
        "question": 1,
        "not_addressed": 1,
    }


async def test_the_model_is_told_what_an_event_calls_for(stage: Stage) -> None:
    event = StreamEvent(id="e1", channel="harbor", ts=1, kind="raid", user="cap", amount=40)
    await stage.channel.receive(event)
    assert "cap raids the channel with 40 viewers" in await asked(stage)


async def test_it_speaks_into_a_silence_and_says_why(engine: Engine) -> None:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    engine.brain.free = True
    stage = Stage(engine, SimulatedClock(0), quiet_chat="ask", quiet_after=45.0)
    await stage.say(1, "hello all")
    await stage.channel.advance(10_000_000)
    await stage.channel.close()
    assert "Ask the viewers one short, friendly question" in await asked(stage)
    assert stage.fates()[1:] == [(f"quiet-{ts}", "quiet_ask") for ts in (45_000, 136_666, 318_332)]
    spoken = [event.id for event in stage.published if isinstance(event, StreamEvent)]
    assert spoken == [message for message, _ in stage.fates()[1:]]
    assert [request.viewer for request in engine.brain.requests] == ["chat"] * 3


async def test_a_writer_in_another_room_has_no_standing_here(stage: Stage) -> None:
    requests: list[TurnRequest] = []
    start = stage.door.start

    async def watch(request: TurnRequest) -> Run:
        requests.append(request)
        return await start(request)

    stage.door.start = watch
    tags = {"room-id": "1", "source-room-id": "2"}
    await stage.say(1, "undy, hello", role="moderator", tags=tags)
    assert [request.role for request in requests] == ["viewer"]


async def test_a_control_is_left_unanswered_and_the_next_one_is_not(stage: Stage) -> None:
    drawn = [n for n in range(200) if zlib.crc32(f"m{n}".encode()) < 0.2 * 2**32]
    quiet = Stage(stage.engine, silent_control=0.2)
    kept = next(n for n in range(200) if n not in drawn)
    quiet.channel.hold(quiet.clock.now() + 1_000)
    await quiet.say(drawn[0], "undy, hello?")
    await quiet.say(kept, "undy, hello")
    quiet.channel.hold(0)
    await quiet.say(999, "hm")
    assert (f"m{drawn[0]}", "silent_control") in quiet.fates()
    assert (f"m{kept}", "mention") in quiet.fates()
    quiet.channel.skip()
    await quiet.channel.close()


async def test_a_hold_ends_by_itself(engine: Engine) -> None:
    await engine.sessions.get_or_create("channel_harbor", "chat", "default")
    engine.brain.free = True
    stage = Stage(engine, ScaledClock(0, 1_000.0), max_age=1_000.0)
    stage.channel.hold(stage.clock.now() + 5_000)
    await stage.say(1, "undy, hello")
    await stage.until(lambda: bool(stage.replies()))
    assert stage.decisions()[0].ts >= 5_000
    await stage.channel.close()


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
    "so what game is this",
]
USERS = ["ana", "ben", "cleo", "dan", "eve", "wren_w", "nightbot"]
SWITCHES = ["clear", "mute", "unmute", "unmute", "skip", "shut", "hold", "settle", "again"]
SWITCHES += ["open", "open"]
STEP = st.one_of(
    st.tuples(st.just("streamer speaks"), st.integers(-1_000, 5_000), st.just("")),
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
            case "streamer speaks":
                stage.channel.hold(stage.clock.now() + int(str(one)))
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
    changes = {"max_waiting": 3, "cooldown": 1.0, "silent_control": 0.2, "quiet_chat": "ask"}
    stage = Stage(engine, name=f"c{next(EXAMPLES)}", **changes, quiet_after=20.0)
    await engine.sessions.get_or_create(stage.channel.session, "chat", "default")
    play = Play(stage)
    for number, (kind, one, two) in enumerate(steps):
        await play.step(number, str(kind), one, two)
    await play.end()
    # What it says by itself into a silence was not handed in, but is told of in the same way.
    own = [e for e in stage.published if isinstance(e, StreamEvent) and e.id.startswith("quiet-")]
    play.handed += own
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
