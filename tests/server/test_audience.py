"""Frames shared by many viewers: everything once and in order, whoever keeps up and whoever not."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from tests.server.wire import deaf_viewer, receive
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.events import ChatMessage
from understudy.server import shared_frames
from understudy.server.audience import Audience

TOTAL = 600
TEXT = "x" * 20_000
EVERYTHING = [f"m{number}" for number in range(TOTAL)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path, limits__per_address=1e9)) as server:
        yield server


def chat(number: int, channel: str = "ana_plays", text: str = TEXT) -> ChatMessage:
    return ChatMessage(id=f"m{number}", channel=channel, ts=number, user="ben", text=text)


async def publish(server: Running, *numbers: int) -> None:
    for number in numbers:
        await server.application.services.bus.publish(chat(number))
        await asyncio.sleep(0)


async def read(socket: ClientConnection, last: str) -> list[str]:
    """The ids of all events up to `last`."""
    found: list[str] = []
    while last not in found:
        frame = await receive(socket)
        assert frame["type"] in {"snapshot", "events"}, frame
        found += [event["id"] for event in frame["events"]]
    return found


async def watch(server: Running, resume: asyncio.Event | None = None) -> list[str]:
    """All ids that a viewer sees, who reads nothing until `resume` is set."""
    peer = sockets.socket()
    # Little fits into the connection, so what is not read stops the server's writes.
    peer.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    peer.setblocking(False)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    await asyncio.get_running_loop().sock_connect(peer, address)
    url = f"{server.socket_url}/ws/overlay/chat"
    async with connect(url, sock=peer, max_queue=1, max_size=None) as socket:
        if resume is not None:
            await resume.wait()
        return await read(socket, f"m{TOTAL - 1}")


async def test_viewers_who_keep_up_and_who_do_not_see_everything_once(server: Running) -> None:
    resume = asyncio.Event()
    viewers = [asyncio.create_task(watch(server, wait)) for wait in (None, None, resume, resume)]
    audiences = server.application.services.audiences._by_interest
    await until(lambda: any(len(a._up_to_date) == len(viewers) for a in audiences.values()))
    (audience,) = audiences.values()
    await publish(server, *range(TOTAL))
    async with asyncio.timeout(60):
        assert await asyncio.gather(*viewers[:2]) == [EVERYTHING] * 2
        assert len(audience._behind) == 2
        resume.set()
        assert await asyncio.gather(*viewers[2:]) == [EVERYTHING] * 2
    await until(lambda: not audiences)


async def test_a_viewer_may_leave_while_it_is_behind(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = deaf_viewer(int(server.url.rpartition(":")[2]), "/ws/overlay/chat")
    audiences = server.application.services.audiences._by_interest
    await until(lambda: any(audience._up_to_date for audience in audiences.values()))
    (audience,) = audiences.values()
    await publish(server, *range(TOTAL))
    await until(lambda: bool(audience._behind))
    viewer.close()
    await until(lambda: not audiences)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_viewers_who_come_and_go_meanwhile_miss_nothing(server: Running) -> None:
    async def come_late(number: int) -> list[str]:
        await until(lambda: server.application.services.feed.log.last_seq >= number)
        return await watch(server)

    viewers = [asyncio.create_task(come_late(number)) for number in range(0, TOTAL, 60)]
    await publish(server, *range(TOTAL))
    async with asyncio.timeout(60):
        seen = await asyncio.gather(*viewers)
    for ids in seen:
        numbers = [int(name[1:]) for name in ids]
        assert numbers == list(range(numbers[0], TOTAL))


async def test_without_the_extension_nothing_is_missing(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_frames, "EXTENSION", "of another server")
    monkeypatch.setattr(
        shared_frames.SharedFrameProtocol,
        "run_asgi",
        shared_frames.WebSocketsSansIOProtocol.run_asgi,
    )
    async with connect(f"{server.socket_url}/ws/overlay/chat", max_size=None) as socket:
        await receive(socket)
        await publish(server, *range(20))
        assert await read(socket, "m19") == [f"m{number}" for number in range(20)]


async def test_a_frame_is_made_once_for_all_who_want_the_same(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def count(payload: bytes) -> bytes:
        made.append(msgspec.json.decode(payload))
        return shared_frames.text_frame(payload)

    monkeypatch.setattr("understudy.server.audience.text_frame", count)
    urls = ["/ws/overlay/chat", "/ws/overlay/chat", "/ws/overlay/chat", "/ws/live?channel=other"]
    viewers = [await connect(f"{server.socket_url}{url}") for url in urls]
    for socket in viewers:
        assert (await receive(socket))["type"] == "snapshot"
    audiences = server.application.services.audiences
    assert len(audiences._by_interest) == 2
    await until(lambda: all(not a._behind for a in audiences._by_interest.values()))
    await publish(server, 1)
    for socket in viewers[:3]:
        assert [event["id"] for event in (await receive(socket))["events"]] == ["m1"]
    assert [frame["type"] for frame in made] == ["events"]
    for socket in viewers:
        await socket.close()
    await until(lambda: not audiences._by_interest)
    running_tasks = {task.get_name() for task in asyncio.all_tasks()}
    assert not running_tasks & {"audience", "viewer catching up"}


async def test_a_fault_is_not_kept_quiet(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(Audience, "_admit", break_down)
    faults: list[str] = []
    monkeypatch.setattr(
        "logging.Logger.exception", lambda _self, message, *_args, **_kw: faults.append(message)
    )
    async with connect(f"{server.socket_url}/ws/overlay/chat") as socket:
        await receive(socket)
    await until(lambda: bool(faults))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_frames_are_those_of_the_protocol(size: int) -> None:
    payload = b"a" * size
    frame = shared_frames.text_frame(payload)
    assert frame == Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert frame[0] == 0x81
    head = 2 if size < 126 else 4 if size < 65_536 else 10
    assert len(frame) == head + size
    assert frame[head:] == payload
