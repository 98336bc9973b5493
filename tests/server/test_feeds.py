"""The live feed and the overlays: nothing lost, nothing twice, and nobody holds up anybody."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.server.wire import deaf_viewer, receive
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.bus import Bus
from understudy.config import Settings
from understudy.events import ChatMessage, Decision, Event, Moderation, StreamEvent
from understudy.outputs import live


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    """A server whose viewers may come and go as often as they like."""
    async with running(chat_only(tmp_path, limits__per_address=1e9)) as server:
        yield server


def chat_only(folder: Path, **flags: Any) -> Settings:
    """Settings of a server whose feed holds nothing but what a test publishes."""
    return settings_for(folder, mood__enabled=False, **flags)


def chat(number: int, channel: str = "ana_plays", text: str = "hello") -> ChatMessage:
    return ChatMessage(id=f"m{number}", channel=channel, ts=number, user="ben", text=text)


async def publish(server: Running, *events: Event) -> None:
    """Publish `events` and wait until the feed has numbered them."""
    services = server.application.services
    expected = services.feed.log.last_seq + len(events)
    for event in events:
        await services.bus.publish(event)
    await until(lambda: services.feed.log.last_seq >= expected)


def ids(frame: dict[str, Any]) -> list[str]:
    return [event["id"] for event in frame["events"]]


async def collect(socket: ClientConnection, count: int) -> list[str]:
    """The ids of the next `count` events."""
    found: list[str] = []
    while len(found) < count:
        frame = await receive(socket)
        if frame["type"] == "events":
            found += ids(frame)
    return found


async def test_a_viewer_gets_a_snapshot_then_deltas(server: Running) -> None:
    await publish(server, chat(1), chat(2))
    async with connect(f"{server.socket_url}/ws/live") as socket:
        snapshot = await receive(socket)
        assert snapshot["type"] == "snapshot"
        assert {"cohost", "persona", "brain", "channels", "muted", "version"} <= set(
            snapshot["state"]
        )
        assert {"provider", "model", "description"} <= set(snapshot["state"]["brain"])
        assert ids(snapshot) == ["m1", "m2"]
        assert snapshot["events"][0]["type"] == "chat"
        await publish(server, chat(3))
        delta = await receive(socket)
        assert delta["type"] == "events"
        assert ids(delta) == ["m3"]
        feed, _, seq = snapshot["id"].rpartition(":")
        assert delta["id"] == f"{feed}:{int(seq) + 1}"


async def test_the_snapshot_holds_the_newest_events(server: Running) -> None:
    total = live.SNAPSHOT_EVENTS + 50
    await publish(server, *(chat(number) for number in range(total)))
    async with connect(f"{server.socket_url}/ws/live") as socket:
        snapshot = await receive(socket)
    assert ids(snapshot) == [f"m{number}" for number in range(50, total)]


async def test_a_reconnect_goes_on_without_loss_or_repeats(server: Running) -> None:
    seen: list[str] = []
    since = ""
    number = 0
    for round_ in range(6):
        url = f"{server.socket_url}/ws/live" + (f"?since={since}" if since else "")
        async with connect(url) as socket:
            first = await receive(socket)
            assert first["type"] == ("snapshot" if round_ == 0 else "events")
            seen += ids(first)
            since = first["id"]
            await publish(server, *(chat(number + n) for n in range(5)))
            number += 5
            while len(seen) < number:
                frame = await receive(socket)
                seen += ids(frame)
                since = frame["id"]
        # Said while nobody watches.
        await publish(server, *(chat(number + n) for n in range(3)))
        number += 3
    async with connect(f"{server.socket_url}/ws/live?since={since}") as socket:
        seen += ids(await receive(socket))
    assert seen == [f"m{n}" for n in range(number)]


async def test_a_reconnect_with_nothing_new_says_so(server: Running) -> None:
    await publish(server, chat(1))
    async with connect(f"{server.socket_url}/ws/live") as socket:
        since = (await receive(socket))["id"]
    async with connect(f"{server.socket_url}/ws/live?since={since}") as socket:
        assert await receive(socket) == {"type": "events", "id": since, "events": []}


async def test_an_id_of_another_process_gets_a_snapshot(server: Running) -> None:
    await publish(server, chat(1))
    feed = server.application.services.feed.id
    strange = ["00000000:1", "1", "x", f"{feed}:", f"{feed}:x", f"{feed}:-1", f"{feed}:99"]
    strange += [f"{feed}:{'9' * 5_000}", f"{feed}:%D9%A1", "%00", ":::"]
    for since in strange:
        async with connect(f"{server.socket_url}/ws/live?since={since}") as socket:
            first = await receive(socket)
            assert first["type"] == "snapshot", since
            assert ids(first) == ["m1"]


async def test_an_id_from_before_a_restart_gets_a_snapshot(tmp_path: Path) -> None:
    async with running(chat_only(tmp_path)) as server:
        await publish(server, chat(1), chat(2))
        async with connect(f"{server.socket_url}/ws/live") as socket:
            since = (await receive(socket))["id"]
    async with running(chat_only(tmp_path)) as server:
        await publish(server, chat(3), chat(4), chat(5))
        async with connect(f"{server.socket_url}/ws/live?since={since}") as socket:
            first = await receive(socket)
    assert first["type"] == "snapshot"
    assert ids(first) == ["m3", "m4", "m5"]


async def test_a_channel_is_watched_alone(server: Running) -> None:
    await publish(server, chat(1, "ana"), chat(2, "ben"))
    async with connect(f"{server.socket_url}/ws/live?channel=ben") as socket:
        assert ids(await receive(socket)) == ["m2"]
        await publish(server, *(chat(n, "ana") for n in range(3, 30)), chat(30, "ben"))
        frame = await receive(socket)
        assert ids(frame) == ["m30"]
    # What was filtered out counts as seen.
    async with connect(f"{server.socket_url}/ws/live?channel=ben&since={frame['id']}") as socket:
        assert ids(await receive(socket)) == []


async def test_an_overlay_gets_only_what_it_shows(server: Running) -> None:
    events: list[Event] = [
        chat(1),
        StreamEvent(id="e1", channel="ana_plays", ts=2, kind="raid", user="ben", amount=3),
        Decision(
            id="d1", channel="ana_plays", ts=3, message_id="m1", message_ts=1, user="ben",
            action="skipped", reason="not_addressed",
        ),
        Moderation(id="x1", channel="ana_plays", ts=4, kind="delete", message_id="m1"),
        msgspec.structs.replace(chat(9), blocked=True),
    ]  # fmt: skip
    await publish(server, *events)
    async with connect(f"{server.socket_url}/ws/overlay/chat") as socket:
        snapshot = await receive(socket)
        assert ids(snapshot) == ["m1", "x1"]
        assert set(snapshot["state"]) == {"cohost"}
        await publish(server, *events[1:3], events[4], chat(5))
        assert ids(await receive(socket)) == ["m5"]


async def test_what_a_viewer_sends_is_ignored(server: Running) -> None:
    async with connect(f"{server.socket_url}/ws/live") as socket:
        await receive(socket)
        for data in ("hello", b"\x00\xff", "x" * 10_000, '{"type":"unsubscribe"}'):
            await socket.send(data)
        await publish(server, chat(1))
        assert ids(await receive(socket)) == ["m1"]


async def test_silence_is_filled_with_pings(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.server.audience.PING_SECONDS", 0.02)
    async with connect(f"{server.socket_url}/ws/live") as socket:
        await receive(socket)
        assert await receive(socket) == {"type": "ping"}
        assert await receive(socket) == {"type": "ping"}


async def test_viewers_are_sent_away_when_the_server_stops(server: Running) -> None:
    async with (
        connect(f"{server.socket_url}/ws/live") as watcher,
        connect(f"{server.socket_url}/ws/overlay/chat") as overlay,
    ):
        for socket in (watcher, overlay):
            await receive(socket)
        server.process.should_exit = True
        for socket in (watcher, overlay):
            # Iteration ends when the socket is closed.
            assert [frame async for frame in socket] == []
            assert socket.close_code == 1001
    async with asyncio.timeout(10):
        await server.serving


async def test_one_viewer_that_stops_reading_holds_up_nobody(server: Running) -> None:
    """Twenty viewers, one of them deaf: the others get every event, and the feed stays bounded."""
    services = server.application.services
    port = int(server.url.rpartition(":")[2])
    total, text = 3_000, "x" * 2_000
    with deaf_viewer(port):
        viewers = [await connect(f"{server.socket_url}/ws/live") for _ in range(19)]
        for viewer in viewers:
            assert (await receive(viewer))["type"] == "snapshot"
        await until(lambda: services.metrics.sockets.labels("/ws/live")._value.get() == 20)
        reading = [asyncio.create_task(collect(viewer, total)) for viewer in viewers]
        for number in range(total):
            await services.bus.publish(chat(number, text=text))
            if number % 50 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(60):
            everything = await asyncio.gather(*reading)
        expected = [f"m{number}" for number in range(total)]
        assert all(seen == expected for seen in everything)
        assert services.feed.log.last_seq - services.feed.log.first_seq < live.FEED_EVENTS
        assert services.bus.subscriptions
        await until(lambda: not any(map(len, services.bus.subscriptions)))
        for viewer in viewers:
            await viewer.close()
    gauge = services.metrics.sockets.labels("/ws/live")
    await until(lambda: gauge._value.get() == 0)


class TestView:
    """A viewer's position, without a socket: what is hard to bring about with one."""

    @pytest.fixture
    def bus(self) -> Bus:
        return Bus()

    @staticmethod
    async def tell(bus: Bus, feed: live.LiveFeed, count: int) -> None:
        for number in range(count):
            await bus.publish(chat(number))
        await until(lambda: feed.log.last_seq == count)

    @pytest.fixture
    async def feed(self, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[live.LiveFeed]:
        monkeypatch.setattr(live, "FEED_EVENTS", 100)
        feed = live.LiveFeed(bus)
        feed.start()
        yield feed
        await feed.close()

    async def test_a_viewer_that_fell_behind_is_told_how_far(
        self, bus: Bus, feed: live.LiveFeed
    ) -> None:
        view = live.LiveView(feed, dict)
        view.open()
        await self.tell(bus, feed, 250)
        assert await self.frame(view) == {"type": "gap", "missed": 150}
        events = await self.frame(view)
        assert ids(events) == [f"m{number}" for number in range(150, 250)]
        assert events["id"] == f"{feed.id}:250"

    async def test_an_id_that_is_too_old_gets_a_snapshot(
        self, bus: Bus, feed: live.LiveFeed
    ) -> None:
        await self.tell(bus, feed, 150)
        view = live.LiveView(feed, lambda: {"cohost": "U"})
        assert msgspec.json.decode(view.open(f"{feed.id}:49"))["type"] == "snapshot"
        kept = msgspec.json.decode(view.open(f"{feed.id}:50"))
        assert kept["type"] == "events"
        assert len(kept["events"]) == 100

    async def test_a_viewer_ends_with_the_feed(self, bus: Bus, feed: live.LiveFeed) -> None:
        view = live.LiveView(feed, dict)
        view.open()
        await self.tell(bus, feed, 1)
        await feed.close()
        assert not view.ended
        assert ids(await self.frame(view)) == ["m0"]
        assert view.ended
        assert await view.frame(1) is None

    async def test_much_is_sent_in_frames_of_bounded_size(
        self, bus: Bus, feed: live.LiveFeed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(live, "FRAME_EVENTS", 30)
        view = live.LiveView(feed, dict)
        view.open()
        await self.tell(bus, feed, 70)
        frames = [await self.frame(view) for _ in range(3)]
        assert [len(frame["events"]) for frame in frames] == [30, 30, 10]

    @staticmethod
    async def frame(view: live.LiveView) -> dict[str, Any]:
        frame = await view.frame(5)
        assert frame is not None
        return msgspec.json.decode(frame)
