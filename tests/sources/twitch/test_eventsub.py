"""EventSub as a source: sessions, moves and ends, against servers of its kind."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.fakes.twitch_account import OWNER, Twitch, twitch
from tests.fakes.twitch_eventsub import Session, TwitchEventSubServer
from tests.fakes.twitch_id import Account
from tests.shared_data import shared_data
from understudy.events import ChatMessage, Event, StreamEvent
from understudy.sources.twitch.auth import VALIDATE_SECONDS, Login
from understudy.sources.twitch.eventsub import TwitchEventSub
from understudy.sources.twitch.eventsub_topics import TOPICS, topics_for
from understudy.sources.twitch.scopes import LOGIN_SCOPES

FOLLOW = {"broadcaster_user_login": "understudy", "user_login": "ana", "user_name": "Ana"}
ALL = 20
"""All topics but the cheer, which comes with the chat."""


class Audience:
    """Takes what is published and wakes up who waits for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.gate: asyncio.Event | None = None
        self._changed = asyncio.Condition()

    async def publish(self, event: Event) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.events.append(event)
        async with self._changed:
            self._changed.notify_all()

    async def has(self, count: int) -> list[Event]:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.events) >= count)
        return self.events

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]


@asynccontextmanager
async def reading(
    world: Twitch, *channels: str, beside_irc: bool = False
) -> AsyncIterator[tuple[TwitchEventSub, Audience]]:
    """A source that runs until the block ends."""
    source = TwitchEventSub(
        world.eventsub.url,
        world.helix,
        world.auth,
        channels or ["understudy"],
        beside_irc=beside_irc,
        sleep=world.time.sleep,
    )
    audience = Audience()
    running = asyncio.create_task(source.run(audience.publish))
    try:
        yield source, audience
        assert not running.done(), "a source runs until it is cancelled"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until_logged(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, which the source says something about when it comes true."""
    logger = logging.getLogger("understudy.sources.twitch.eventsub")
    said = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: said.set()  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        while not condition():
            said.clear()
            await said.wait()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def until_told(source: TwitchEventSub, part: str) -> None:
    """Wait until a problem says `part`."""
    await until_logged(lambda: any(part in problem for problem in source.problems()))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Twitch]:
    async with twitch(tmp_path) as world:
        yield world


@asynccontextmanager
async def connected(
    world: Twitch, *channels: str, subscriptions: int = ALL
) -> AsyncIterator[tuple[TwitchEventSub, Audience]]:
    """A source whose session stands."""
    async with reading(world, *channels) as (source, audience):
        await until_logged(lambda: source.subscriptions >= subscriptions)
        yield source, audience


# --- subscribing


async def test_it_subscribes_to_what_the_login_allows(world: Twitch) -> None:
    async with connected(world) as (source, audience):
        session = world.eventsub.session
        assert {wanted["transport"]["session_id"] for wanted in session.subscribed} == {session.id}
        assert world.api.types[0] == "channel.chat.message", "what matters most comes first"
        assert "channel.cheer" not in world.api.types, "a cheer comes as a message"
        by_type = {wanted["type"]: wanted for wanted in world.api.subscribed}
        owner = {"broadcaster_user_id": OWNER.user_id}
        assert by_type["channel.chat.message"]["condition"] == {**owner, "user_id": OWNER.user_id}
        assert by_type["channel.raid"]["condition"] == {"to_broadcaster_user_id": OWNER.user_id}
        follow = by_type["channel.follow"]
        assert (follow["version"], follow["condition"]) == (
            "2",
            {**owner, "moderator_user_id": OWNER.user_id},
        )
        await world.eventsub.notify("channel.follow", FOLLOW)
        await audience.has(1)
        assert source.describe() == (
            f"Twitch EventSub as understudy: understudy ({ALL} subscriptions)"
        )
        assert source.problems() == []


@pytest.mark.parametrize(
    ("scopes", "own", "beside_irc", "types"),
    [
        ((), False, False, ["channel.raid", "stream.online", "stream.offline"]),
        ((), True, True, ["stream.online", "stream.offline"]),
        (("bits:read",), True, False, ["channel.cheer", "channel.raid"]),
        (("bits:read",), False, False, ["channel.raid"]),
        (("channel:read:ads",), True, True, ["channel.ad_break.begin"]),
    ],
)
def test_topics_by_scope(
    scopes: tuple[str, ...], own: bool, beside_irc: bool, types: list[str]
) -> None:
    login = Login(OWNER.login, OWNER.user_id, frozenset(scopes))
    channel = OWNER.user_id if own else "1001"
    found = [topic.type for topic in topics_for(login, channel, beside_irc=beside_irc)]
    assert [name for name in found if not name.startswith("stream.") or name in types] == types


def test_the_login_asks_for_every_scope_that_a_topic_needs() -> None:
    assert {topic.scope for topic in TOPICS if topic.scope} <= set(LOGIN_SCOPES)


async def test_beside_irc_nothing_is_told_twice(world: Twitch) -> None:
    async with reading(world, beside_irc=True):
        await world.eventsub.connected()
        await world.eventsub.subscribed(ALL - 4)
        told_by_irc = {"channel.subscribe", "channel.subscription.gift", "channel.raid"}
        assert told_by_irc & set(world.api.types) == set()
        # What has the same id by both ways may come by both.
        assert "channel.chat.message" in world.api.types


async def test_a_channel_that_does_not_exist_is_told_and_the_rest_is_read(world: Twitch) -> None:
    async with connected(world, "understudy", "nobody_at_all") as (source, _):
        assert source.problems() == [
            "Twitch knows no channel named nobody_at_all: check twitch.channels"
        ]


async def test_only_unknown_channels_are_told_and_not_asked_for_again(world: Twitch) -> None:
    async with reading(world, "nobody_at_all") as (source, _):
        await world.api.asked()
        await until_told(source, "there is no channel to read: check twitch.channels")
        assert world.eventsub.sessions == []


async def test_a_refused_subscription_is_told_and_the_others_stand(world: Twitch) -> None:
    def refuse(wanted: dict[str, Any]) -> tuple[int, str] | None:
        if wanted["type"] == "channel.follow":
            return 403, "subscription missing proper authorization"
        return (409, "subscription already exists") if wanted["type"] == "channel.raid" else None

    world.api.refuse_subscription = refuse
    async with connected(world, subscriptions=ALL - 1) as (source, _):
        await until_told(source, "channel.follow of understudy is not read: ")
        (problem,) = source.problems()
        assert problem.endswith("(subscription missing proper authorization)")


async def test_when_twitch_grants_no_more_it_stops_asking(world: Twitch) -> None:
    def refuse(wanted: dict[str, Any]) -> tuple[int, str] | None:
        full = len(world.api.subscribed) >= 10
        return (429, "number of websocket subscriptions limit exceeded") if full else None

    world.api.refuse_subscription = refuse
    async with connected(world, "understudy", "ana", subscriptions=10) as (source, _):
        await until_told(source, "takes no more requests for now")
        assert source.subscriptions == 10
        assert len(source.problems()) == 1


async def test_a_login_that_may_read_nothing_is_told_and_left(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        world.api.refuse_subscription = lambda wanted: (403, "no")
        async with reading(world) as (source, _):
            await until_told(source, "Twitch lets this login read nothing")
            assert await world.eventsub.closed(world.eventsub.session) == 1000
            assert len(world.eventsub.sessions) == 1


# --- events


async def test_notifications_become_events_once(world: Twitch) -> None:
    async with connected(world) as (source, audience):
        first = await world.eventsub.notify("channel.follow", FOLLOW)
        await world.eventsub.notify("channel.follow", FOLLOW, message_id=first)
        last = await world.eventsub.notify("stream.offline", {})
        await audience.has(2)
        assert audience.ids == [first, last]
        assert source.duplicates == 1
        assert audience.events[1].channel == "understudy", "found by the condition"


async def test_garbage_is_skipped_and_counted(world: Twitch) -> None:
    async with connected(world) as (source, audience):
        for garbage in ("", "{", "[]", "null", b"\xff\x00", "[" * 20_000, '{"metadata": {}}'):
            await world.eventsub.session.send(garbage)
        await world.eventsub.notify("channel.chat.message", {"message": 1})
        last = await world.eventsub.notify("channel.follow", FOLLOW)
        await audience.has(1)
        assert audience.ids == [last]
        assert source.bad_frames == 8
        assert len(world.eventsub.sessions) == 1


async def test_a_slow_reader_holds_the_source_back_and_loses_nothing(world: Twitch) -> None:
    async with connected(world) as (_, audience):
        audience.gate = asyncio.Event()
        sent = [await world.eventsub.notify("channel.follow", FOLLOW) for _ in range(200)]
        audience.gate.set()
        await audience.has(200)
        assert audience.ids == sent


# --- moving


async def test_a_move_loses_nothing_and_keeps_the_order(world: Twitch) -> None:
    server = world.eventsub
    sent: list[str] = []

    async def follow(session: Session) -> None:
        sent.append(await server.notify("channel.follow", FOLLOW, session=session))

    async def after_welcome(new: Session) -> None:
        # The old connection still talks when the new one stands, before anybody can leave it.
        for _ in range(50):
            await follow(server.sessions[0])
        await follow(new)

    async with connected(world) as (source, audience):
        await follow(server.session)
        server.welcome_gate, server.after_welcome = asyncio.Event(), after_welcome
        old = await server.ask_to_move()
        new = await server.connected(2)
        assert new.moved_from == old.id
        await follow(old)
        await audience.has(2)
        assert old.close_code is None, "it stays until the new one has welcomed"
        server.welcome_gate.set()
        assert await server.closed(old) == 1000
        # The last one again, as Twitch may.
        await server.notify("channel.follow", FOLLOW, message_id=sent[-1], session=new)
        await follow(new)
        await audience.has(len(sent))
        assert audience.ids == sent
        assert len(sent) == 54
        assert source.duplicates == 1
        assert len(world.api.subscribed) == ALL, "subscriptions move along"


async def test_it_moves_again_and_again(world: Twitch) -> None:
    async with connected(world) as (_, audience):
        for number in range(1, 4):
            await world.eventsub.until(lambda: world.eventsub.session.welcomed)
            old = await world.eventsub.ask_to_move()
            await world.eventsub.connected(number + 1)
            await world.eventsub.closed(old)
        last = await world.eventsub.notify("channel.follow", FOLLOW)
        await audience.has(1)
        assert audience.ids == [last]


async def test_a_move_while_it_subscribes_goes_on_with_the_new_session(world: Twitch) -> None:
    def refuse(wanted: dict[str, Any]) -> tuple[int, str] | None:
        if len(world.api.subscribed) < 5 or world.ids.hold is not None:
            return None
        # The renewal of the token is what holds the subscribing up.
        world.ids.hold = asyncio.Event()
        return 401, "Invalid OAuth token"

    world.api.refuse_subscription = refuse
    async with reading(world) as (source, _):
        await world.ids.asked(2)
        old = await world.eventsub.ask_to_move()
        await world.eventsub.closed(old)
        assert world.ids.hold is not None
        world.ids.hold.set()
        await until_logged(lambda: source.subscriptions == ALL)
        assert source.problems() == []
        assert len(world.eventsub.session.subscribed) == ALL - 5


async def test_a_move_that_fails_begins_a_new_session(world: Twitch) -> None:
    async with connected(world):
        old = await world.eventsub.ask_to_move("ws://127.0.0.1:1/ws")
        await world.eventsub.connected(2)
        await world.eventsub.subscribed(ALL)
        assert world.eventsub.session.moved_from == ""
        assert await world.eventsub.closed(old) == 1000


async def test_an_old_connection_that_ends_first_is_no_loss(world: Twitch) -> None:
    server = world.eventsub
    async with connected(world) as (_, audience):
        server.welcome_gate = asyncio.Event()
        old = await server.ask_to_move()
        await server.connected(2)
        await old.socket.close(4004, "client reconnect grace time expired")
        server.welcome_gate.set()
        await server.until(lambda: server.session.welcomed)
        last = await server.notify("channel.follow", FOLLOW)
        await audience.has(1)
        assert audience.ids == [last]
        assert len(server.sessions) == 2


# --- ends


@pytest.mark.parametrize("code", [1000, 1011, 4000, 4003, 4005, 4007])
async def test_after_an_end_it_connects_and_subscribes_again(world: Twitch, code: int) -> None:
    async with connected(world) as (source, audience):
        await world.eventsub.close(code, "because")
        await world.eventsub.connected(2)
        await world.eventsub.subscribed(ALL)
        last = await world.eventsub.notify("channel.follow", FOLLOW)
        await audience.has(1)
        assert audience.ids == [last]
        assert source.problems() == []


async def test_a_connection_that_breaks_off_is_replaced(world: Twitch) -> None:
    async with connected(world):
        world.eventsub.session.socket.transport.abort()
        await world.eventsub.connected(2)
        await world.eventsub.subscribed(ALL)


async def test_a_silent_connection_is_replaced(tmp_path: Path) -> None:
    server = TwitchEventSubServer(keepalive_seconds=0.2)
    async with twitch(tmp_path, eventsub=server) as world, reading(world) as (source, _):
        first = await server.connected()
        # Nothing is said; the promised 0.2 s pass.
        await server.connected(2)
        assert await server.closed(first) == 1000
        assert "EventSub is not connected: Twitch sent nothing for 0.3 s" in source.problems()


@pytest.mark.parametrize("greeting", ["{", b"\x00", "keepalive"])
async def test_a_server_that_does_not_welcome_is_left(world: Twitch, greeting: Any) -> None:
    server = world.eventsub
    server.greeting = server.frame("session_keepalive") if greeting == "keepalive" else greeting
    async with reading(world) as (source, _):
        await server.connected(3)
        assert any("greet" in problem for problem in source.problems())
        server.greeting = None
        await server.until(lambda: len(server.session.subscribed) == ALL)


async def test_waits_between_attempts_grow_and_vary(tmp_path: Path) -> None:
    async with twitch(tmp_path) as world:
        world.eventsub.greeting = "{"
        before = len(world.time.slept)
        async with reading(world):
            await world.eventsub.connected(30)
        waits = world.time.slept[before:]
        assert all(0 <= wait <= 60 for wait in waits)
        assert len(set(waits)) > 20, "clients must not come back together"
        assert max(waits[:3]) <= 4
        assert max(waits) > 4


async def test_a_server_that_is_not_there_is_told(world: Twitch) -> None:
    source = TwitchEventSub(
        "ws://127.0.0.1:1/ws", world.helix, world.auth, ["understudy"], sleep=world.time.sleep
    )
    running = asyncio.create_task(source.run(Audience().publish))
    await until_told(source, "EventSub is not connected: 127.0.0.1 cannot be reached")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_reader_that_fails_ends_the_source(world: Twitch) -> None:
    async def publish(event: Event) -> None:
        raise RuntimeError("the disk is gone")

    source = TwitchEventSub(world.eventsub.url, world.helix, world.auth, ["understudy"])
    running = asyncio.create_task(source.run(publish))
    await world.eventsub.connected()
    await world.eventsub.notify("channel.follow", FOLLOW)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        await running


# --- the end of rights


async def test_a_revoked_subscription_is_told_and_not_asked_for_again(world: Twitch) -> None:
    async with connected(world) as (source, _):
        await world.eventsub.revoke("channel.follow", "moderator_removed")
        told = (
            "channel.follow of understudy is no longer read: the account is no moderator any more"
        )
        await until_told(source, told)
        await world.eventsub.close(4000)
        await world.eventsub.connected(2)
        await world.eventsub.subscribed(ALL - 1)
        assert world.api.types.count("channel.follow") == 1
        assert world.api.types.count("channel.chat.message") == 2
        assert source.problems() == [told]


async def test_a_revoked_login_stops_the_session_with_one_sentence(world: Twitch) -> None:
    async with connected(world) as (source, _):
        world.ids.revoke()
        await world.eventsub.revoke("channel.chat.message", "authorization_revoked")
        assert await world.eventsub.closed(world.eventsub.session) == 1000
        assert world.auth.problems() == [
            "the Twitch login has expired or was revoked: log in to Twitch again"
        ]
        assert source.describe() == "Twitch EventSub: waits for a login to Twitch"
        assert source.problems() == [], "it is told once, where the login is kept"
        assert len(world.eventsub.sessions) == 1


async def test_a_login_found_revoked_by_the_hourly_check_stops_the_session(world: Twitch) -> None:
    async with connected(world):
        world.ids.revoke()
        world.time.advance(VALIDATE_SECONDS)
        assert await world.eventsub.closed(world.eventsub.session) == 1000


async def test_a_new_login_is_all_it_waits_for(tmp_path: Path) -> None:
    async with twitch(tmp_path, None) as world, reading(world) as (source, _):
        assert source.describe() == "Twitch EventSub: waits for a login to Twitch"
        code = await world.auth.begin_login()
        world.ids.approve(OWNER)
        await world.auth.complete_login(code)
        await world.eventsub.connected()
        await world.eventsub.subscribed(ALL)


async def test_another_account_gets_a_session_of_its_own(world: Twitch) -> None:
    async with connected(world):
        old = world.eventsub.session
        code = await world.auth.begin_login()
        world.ids.approve(Account("ana", "1001", ("user:read:chat",)))
        await world.auth.complete_login(code)
        await world.eventsub.connected(2)
        assert await world.eventsub.closed(old) == 1000
        # Of another's channel: the chat, raids, and whether it is live.
        await world.eventsub.subscribed(7)
        assert world.eventsub.session.subscribed[0]["condition"]["user_id"] == "1001"


async def test_an_expired_token_is_renewed_while_it_subscribes(world: Twitch) -> None:
    world.ids.expire()
    async with connected(world):
        assert world.ids.refreshes == 1


async def test_a_clock_that_jumps_is_not_noticed(world: Twitch) -> None:
    async with connected(world) as (_, audience):
        for jump in (-1e9, 2e9):
            world.time.now += jump
            last = await world.eventsub.notify("channel.follow", FOLLOW)
        await audience.has(2)
        assert audience.ids[-1] == last
        assert len(world.eventsub.sessions) == 1


# --- the transcript of twitch-cli


async def test_the_transcript_of_twitch_cli(tmp_path: Path) -> None:
    path = shared_data("twitch/twitch-cli-eventsub/websocket_transcript.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    server = TranscriptServer(lines)
    async with twitch(tmp_path, eventsub=server) as world, reading(world) as (source, audience):
        await audience.has(10)
        await server.connected(2)
        assert await server.closed(server.sessions[0]) == 1000, "left before the grace is over"
        await server.until(lambda: server.played)
        notified = [f["frame"]["metadata"] for f in lines if "subscription_type" in str(f)]
        assert audience.ids == [metadata["message_id"] for metadata in notified]
        kinds = [event.kind for event in audience.events if isinstance(event, StreamEvent)]
        assert kinds == ["cheer", "sub", "gift", "raid", "follow", *["other"] * 5]
        assert not any(isinstance(event, ChatMessage) for event in audience.events)
        assert {event.channel for event in audience.events} == {"understudy"}
        assert (source.bad_frames, source.duplicates) == (0, 0)


class TranscriptServer(TwitchEventSubServer):
    """Says what was recorded, each connection its own part, with its own address to move to."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        super().__init__()
        self.played = False
        self._parts = [
            [line["frame"] for line in lines if line["conn"] == name and "frame" in line]
            for name in ("A", "A-reconnected")
        ]

    async def greet(self, session: Session) -> None:
        part = self._parts[len(self.sessions) - 1]
        session.id = part[0]["payload"]["session"]["id"]
        try:
            for frame in part:
                if frame["metadata"]["message_type"] == "session_reconnect":
                    await self.subscribed(ALL, session)
                    frame["payload"]["session"]["reconnect_url"] = f"{self.url}?reconnect_id=x"
                await session.send(frame)
        except ConnectionClosed:
            return
        self.played = len(self.sessions) == 2
        await self.tell()
