"""The feed of the mood overlay: readings and nothing else, first what was, then what comes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.server.wire import receive
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.events import ChatMessage, Event, MoodReading


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    # Only the readings of the tests.
    async with running(settings_for(tmp_path, mood__enabled=False)) as server:
        yield server


def reading(number: int, channel: str = "ana_plays") -> MoodReading:
    return MoodReading(
        id=f"r{number}", channel=channel, ts=number, value=0.5, label="positive", message=-0.25
    )


async def publish(server: Running, *events: Event) -> None:
    services = server.application.services
    expected = services.feed.log.last_seq + len(events)
    for event in events:
        await services.bus.publish(event)
    await until(lambda: services.feed.log.last_seq >= expected)


async def test_the_mood_overlay_gets_readings_only(server: Running) -> None:
    said = ChatMessage(id="m1", channel="ana_plays", ts=1, user="ben", text="hello")
    await publish(server, said, reading(1))
    async with connect(f"{server.socket_url}/ws/overlay/mood") as socket:
        snapshot = await receive(socket)
        assert snapshot["events"] == [
            {"type": "mood", "id": "r1", "channel": "ana_plays", "ts": 1, "value": 0.5,
             "label": "positive", "message": -0.25},
        ]  # fmt: skip
        await publish(server, said, reading(2, "other"))
        assert [event["id"] for event in (await receive(socket))["events"]] == ["r2"]


async def test_a_channel_s_mood_is_watched_alone(server: Running) -> None:
    await publish(server, reading(1), reading(2, "other"))
    async with connect(f"{server.socket_url}/ws/overlay/mood?channel=other") as socket:
        assert [event["id"] for event in (await receive(socket))["events"]] == ["r2"]


async def test_a_key_opens_its_own_overlay_only(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, auth__required=True)) as server:
        keys = server.application.services.overlay_keys
        _, mood_key = await keys.create("mood")
        _, chat_key = await keys.create("chat")
        url = f"{server.socket_url}/ws/overlay/mood"
        async with connect(f"{url}?key={mood_key}") as socket:
            assert (await receive(socket))["type"] == "snapshot"
        for refused in (url, f"{url}?key={chat_key}"):
            async with connect(refused) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await receive(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401
