"""The live feed as one viewer sees it: snapshot, deltas, gaps, and the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from understudy.bus import Bus
from understudy.events import ChatMessage, Event, StreamEvent
from understudy.outputs import live
from understudy.outputs.live import (
    FRAME_BYTES,
    FRAME_EVENTS,
    SNAPSHOT_EVENTS,
    Interest,
    LiveFeed,
    LiveView,
)


def chat(number: int, channel: str = "c", text: str = "hello") -> ChatMessage:
    return ChatMessage(id=f"m{number}", channel=channel, ts=number, user="ana", text=text)


def raid(number: int) -> StreamEvent:
    return StreamEvent(id=f"e{number}", channel="c", ts=number, kind="raid", user="cap")


class Hall:
    """A feed, its bus, and viewers of it."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.feed = LiveFeed(self.bus)
        self.feed.start()

    def view(self, *kinds: type[Event], channel: str = "") -> LiveView:
        return LiveView(self.feed, lambda: {"muted": False}, Interest(kinds, channel))

    async def show(self, *events: Event) -> None:
        for event in events:
            await self.bus.publish(event)
        await self.bus.drained()


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall()
    yield hall
    await hall.feed.close()


def read(frame: bytes | None) -> dict[str, Any]:
    assert frame is not None
    return msgspec.json.decode(frame)


def ids(frame: bytes | None) -> list[str]:
    return [event["id"] for event in read(frame)["events"]]


async def test_a_snapshot_holds_the_state_and_the_newest_events(hall: Hall) -> None:
    await hall.show(*map(chat, range(SNAPSHOT_EVENTS + 20)))
    snapshot = read(hall.view().open())
    assert snapshot["type"] == "snapshot"
    assert snapshot["state"] == {"muted": False}
    assert snapshot["id"] == f"{hall.feed.id}:{SNAPSHOT_EVENTS + 20}"
    assert [event["id"] for event in snapshot["events"]] == [
        f"m{number}" for number in range(20, SNAPSHOT_EVENTS + 20)
    ]
    assert snapshot["events"][0]["type"] == "chat"


async def test_deltas_follow_the_snapshot_without_loss_or_repeat(hall: Hall) -> None:
    view = hall.view()
    assert ids(view.open()) == []
    await hall.show(chat(1), raid(2))
    assert ids(await view.frame(5)) == ["m1", "e2"]
    waiting = asyncio.create_task(view.frame(5))
    await asyncio.sleep(0)
    await hall.show(chat(3))
    frame = await waiting
    assert ids(frame) == ["m3"]
    assert read(frame)["id"] == f"{hall.feed.id}:3"
    assert await view.frame(0) is None


async def test_a_viewer_that_comes_back_gets_only_what_is_newer(hall: Hall) -> None:
    view = hall.view()
    await hall.show(chat(1))
    position = read(view.open())["id"]
    assert read(hall.view().open(position)) == {"type": "events", "id": position, "events": []}
    await hall.show(chat(2), chat(3))
    assert ids(hall.view().open(position)) == ["m2", "m3"]


@pytest.mark.parametrize(
    "since", ["", "x", "x:1", ":", "{feed}", "{feed}:", "{feed}:-1", "{feed}:9", "{feed}:1x"]
)
async def test_a_position_that_means_nothing_here_gets_a_snapshot(hall: Hall, since: str) -> None:
    await hall.show(chat(1))
    frame = hall.view().open(since.format(feed=hall.feed.id))
    assert read(frame)["type"] == "snapshot"
    assert ids(frame) == ["m1"]


async def test_a_viewer_that_fell_behind_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "FEED_EVENTS", 10)
    hall = Hall()
    view = hall.view()
    position = read(view.open())["id"]
    await hall.show(*map(chat, range(25)))
    assert read(await view.frame(5)) == {"type": "gap", "missed": 15}
    assert ids(await view.frame(5)) == [f"m{number}" for number in range(15, 25)]
    assert read(hall.view().open(position))["type"] == "snapshot"
    await hall.feed.close()


async def test_a_viewer_sees_the_kinds_and_the_channel_it_asked_for(hall: Hall) -> None:
    raids, other = hall.view(StreamEvent), hall.view(ChatMessage, channel="d")
    await hall.show(chat(1), raid(2), chat(3, "d"), chat(4))
    assert ids(await raids.frame(5)) == ["e2"]
    assert ids(await other.frame(5)) == ["m3"]
    assert ids(hall.view(ChatMessage).open()) == ["m1", "m3", "m4"]
    assert await raids.frame(0) is None


async def test_events_for_others_do_not_put_off_the_end_of_a_wait(hall: Hall) -> None:
    view = hall.view(StreamEvent)
    waiting = asyncio.create_task(view.frame(0.2))
    number = 0
    async with asyncio.timeout(10):
        while not waiting.done():
            number += 1
            await hall.show(chat(number))
            await asyncio.sleep(0.01)
    assert await waiting is None


async def test_a_frame_is_bounded(hall: Hall) -> None:
    view = hall.view()
    await hall.show(*map(chat, range(FRAME_EVENTS + 5)))
    assert len(ids(await view.frame(5))) == FRAME_EVENTS
    assert len(ids(await view.frame(5))) == 5


async def test_a_frame_of_long_events_is_bounded_too(hall: Hall) -> None:
    view = hall.view()
    long = "x" * (FRAME_BYTES // 4)
    await hall.show(*(chat(number, text=long) for number in range(6)))
    assert [ids(await view.frame(5)) for _ in range(2)] == [["m0", "m1", "m2", "m3"], ["m4", "m5"]]


async def test_a_viewer_can_go_back_to_where_a_frame_began(hall: Hall) -> None:
    view = hall.view()
    await hall.show(chat(1), raid(2))
    first = view.next_frame()
    assert view.next_frame() is None
    assert view.position == 2
    view.back_to(0)
    assert view.next_frame() == first
    assert view.before_frame == 0


async def test_closing_sends_the_last_events_and_ends_every_viewer(hall: Hall) -> None:
    view, idle = hall.view(), hall.view(StreamEvent)
    got: list[str] = []

    async def watch() -> None:
        with hall.feed.watching():
            while not view.ended:
                frame = await view.frame(60)
                got.extend(ids(frame) if frame else [])

    watching = asyncio.create_task(watch())
    waiting = asyncio.create_task(idle.frame(60))
    await hall.show(chat(1))
    await hall.bus.publish(chat(2))
    await hall.feed.close()
    assert watching.done(), "who reads is waited for"
    assert got == ["m1", "m2"]
    assert await waiting is None
    assert await view.frame(60) is None
    assert idle.ended
    await hall.bus.publish(chat(3))
    assert hall.feed.log.last_seq == 2


async def test_a_viewer_that_does_not_read_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, hall: Hall
) -> None:
    monkeypatch.setattr(live, "LAST_FRAMES_SECONDS", 0.01)
    with hall.feed.watching(), hall.feed.watching():
        async with asyncio.timeout(5):
            await hall.feed.close()


async def test_an_event_that_is_no_text_is_left_out(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await hall.show(chat(1, text="\ud83d"), chat(2))
    assert ids(hall.view().open()) == ["m2"]
    assert "m1 is not text" in caplog.text


async def test_a_feed_that_never_started_closes() -> None:
    await LiveFeed(Bus()).close()
