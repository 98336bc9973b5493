"""The Python client against a running server, over connections that hold and that break."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.client.cutting_proxy import cutting
from tests.server.wire import PATIENT, SECRET, token
from tests.serving import Running, running, settings_for
from tests.stepped_brain import SteppedBrain
from tests.waiting import until
from understudy.client import (
    AsyncClient,
    Backoff,
    Client,
    ClientError,
    ConnectionLost,
    Done,
    Events,
    Failed,
    Forbidden,
    Invalid,
    NotFound,
    SessionEnded,
    Snapshot,
    StreamEvent,
    Token,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)

T = TypeVar("T")
EAGER = Backoff(attempts=3, first=0.001, longest=0.01)
QUESTION = "tell me a joke please"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        yield server


async def within(work: Awaitable[T], seconds: float = 20) -> T:
    async with asyncio.timeout(seconds):
        return await work


def said(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


async def listen(client: AsyncClient, session_id: str) -> list[StreamEvent]:
    return [event async for event in client.stream(session_id, QUESTION)]


# --- a conversation


async def test_a_conversation(server: Running) -> None:
    async with AsyncClient(server.url) as client:
        session = await client.start("ana", persona="fitness_coach")
        assert session.persona == "fitness_coach"
        events = await listen(client, session.session_id)
        end = events[-1]
        assert isinstance(end, Done)
        assert end.usage is not None
        assert end.usage.output_tokens > 0
        answer = await client.message(session.session_id, "and another one")
        history = await client.history(session.session_id)
        assert [m.role for m in history.messages] == ["user", "assistant"] * 2
        assert history.messages[1].text == said(events)
        assert history.messages[1].id == end.message_id
        assert history.messages[3].text == answer.reply
        await client.end(session.session_id)
        with pytest.raises(SessionEnded, match="/chat/start"):
            await client.message(session.session_id, "still there?")


async def test_the_blocking_client(server: Running) -> None:
    def talk() -> tuple[list[StreamEvent], str, str]:
        with Client(server.url) as client:
            session = client.start("ana")
            with client.stream(session.session_id, QUESTION) as stream:
                events = list(stream)
                assert stream.text == said(events)
                assert not stream.stop()
            client.message(session.session_id, "more")
            history = client.history(session.session_id)
            ticket = client.ticket()
            client.end(session.session_id)
            return events, history.messages[1].text, ticket

    events, stored, ticket = await asyncio.to_thread(talk)
    assert isinstance(events[-1], Done)
    assert said(events) == stored
    assert len(ticket) > 20


async def test_stopping_an_answer(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, brain__words_per_second=20)) as server:
        async with AsyncClient(server.url) as client:
            session = await client.start("ana")
            async with client.stream(session.session_id, QUESTION) as stream:
                assert not await stream.stop()
                events: list[StreamEvent] = []
                async for event in stream:
                    if not events:
                        assert await stream.stop()
                    events.append(event)
        end = events[-1]
        assert isinstance(end, Done)
        assert end.interrupted == "stopped"

        def talk() -> str:
            with Client(server.url) as client:
                session = client.start("ana")
                stream = client.stream(session.session_id, QUESTION)
                next(iter(stream))
                assert stream.stop()
                *_, end = stream
                return end.interrupted if isinstance(end, Done) else ""

        assert await asyncio.to_thread(talk) == "stopped"


async def test_a_failure_in_mid_answer_is_an_event(server: Running) -> None:
    brain = SteppedBrain()
    brain.free = True
    brain.error = ValueError("inside")
    server.application.services.router.brain = brain
    async with AsyncClient(server.url, backoff=EAGER) as client:
        session = await client.start("ana")
        (end,) = await listen(client, session.session_id)
    assert isinstance(end, Failed)
    assert "try again" in end.error
    assert end.retryable


# --- connections that break


async def test_no_token_is_lost_or_doubled_wherever_the_connection_breaks(server: Running) -> None:
    """The first connection is cut after every possible number of bytes of a whole answer."""
    async with AsyncClient(server.url) as client:
        session = await client.start("ana")
    body = {"session_id": session.session_id, "message": QUESTION}
    whole = await server.http.post("/chat/stream", json=body)
    head = sum(len(f"{k}: {v}\r\n") for k, v in whole.headers.items())
    length = head + len(whole.content)
    for cut in range(head + 120, length + 100, 61):
        async with (
            cutting(server.url, [cut]) as proxy,
            AsyncClient(proxy.url, backoff=EAGER) as client,
        ):
            events = await within(listen(client, session.session_id))
        history = (await server.http.get(f"/chat/sessions/{session.session_id}")).json()
        assert said(events) == history["messages"][-1]["text"], f"cut after {cut} bytes"
        assert isinstance(events[-1], Done)
        assert sum(request.startswith(b"POST") for request in proxy.requests) == 1


async def test_it_goes_on_through_many_breaks(server: Running) -> None:
    async with cutting(server.url, [500, 380, 0, 430, 450]) as proxy:

        def talk() -> tuple[list[StreamEvent], str]:
            with Client(server.url) as direct, Client(proxy.url, backoff=EAGER) as client:
                session = direct.start("ana")
                events = list(client.stream(session.session_id, QUESTION))
                return events, direct.history(session.session_id).messages[-1].text

        events, stored = await within(asyncio.to_thread(talk))
    assert said(events) == stored
    resumed = [re.search(rb"last-event-id: \S+:(\d+)", r, re.IGNORECASE) for r in proxy.requests]
    places = [int(match[1]) for match in resumed if match]
    assert len(places) >= 3
    assert places == sorted(places)


async def test_it_gives_up_when_the_server_stays_away(server: Running) -> None:
    async with AsyncClient(server.url) as client:
        session = await client.start("ana")
    async with (
        cutting(server.url, [500, *[0] * 20]) as proxy,
        AsyncClient(proxy.url, backoff=EAGER) as client,
    ):
        with pytest.raises(ConnectionLost, match="history"):
            await within(listen(client, session.session_id))


async def test_a_message_is_never_sent_twice(server: Running) -> None:
    """The connection breaks before it is known whether the server has begun."""
    async with AsyncClient(server.url) as client:
        session = await client.start("ana")
    async with cutting(server.url, [0] * 9) as proxy:
        async with AsyncClient(proxy.url, backoff=EAGER) as client:
            with pytest.raises(ConnectionLost):
                await within(listen(client, session.session_id))
            with pytest.raises(ConnectionLost):
                await within(client.message(session.session_id, "hi"))
        assert sum(request.startswith(b"POST") for request in proxy.requests) <= 2


async def test_a_run_that_has_expired_is_completed_from_what_is_stored(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, server__run_ttl=0)) as server:
        async with AsyncClient(server.url) as client:
            session = await client.start("ana")
        async with cutting(server.url, [520]) as proxy:
            slow = Backoff(attempts=3, first=0.3, longest=0.3)
            async with AsyncClient(proxy.url, backoff=slow) as client:
                events = await within(listen(client, session.session_id))
        history = (await server.http.get(f"/chat/sessions/{session.session_id}")).json()
        assert said(events) == history["messages"][-1]["text"]
        end = events[-1]
        assert isinstance(end, Done)
        assert end.message_id == history["messages"][-1]["id"]
        assert end.usage is None


async def test_a_server_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with AsyncClient(url, backoff=EAGER) as client:
        with pytest.raises(Unreachable, match="running"):
            await client.start("ana")
        with pytest.raises(Unreachable, match="running"):
            await listen(client, "any")
    with pytest.raises(Unreachable), Client(url, backoff=EAGER) as blocking:
        await asyncio.to_thread(blocking.start, "ana")


# --- refusals


async def test_refusals_have_types_and_sentences(server: Running) -> None:
    async with AsyncClient(server.url, backoff=EAGER) as client:
        with pytest.raises(NotFound, match="drill_sergeant"):
            await client.start("ana", persona="nobody")
        with pytest.raises(NotFound, match="/chat/start"):
            await listen(client, "nope")
        session = await client.start("ana")
        with pytest.raises(Invalid, match="4000") as caught:
            await client.message(session.session_id, "x" * 4001)
        assert caught.value.status == 422


async def test_limits_that_are_used_up(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, limits__per_session=6.0)
    hasty = Backoff(attempts=0)
    async with running(settings) as server, AsyncClient(server.url, backoff=hasty) as client:
        session = await client.start("ana")
        asked = [client.message(session.session_id, "hi") for _ in range(5)]
        with pytest.raises(TooManyRequests) as caught:
            await asyncio.gather(*asked)
        assert caught.value.retry_after > 0
        with pytest.raises(TooManyRequests):
            await listen(client, session.session_id)


async def test_another_server_is_told_apart() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = b"data: <html>\n\n"
        writer.write(b"HTTP/1.1 200 OK\r\nX-Run-Id: r\r\nContent-Length: %d\r\n\r\n" % len(page))
        writer.write(page)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, AsyncClient(url, backoff=EAGER) as client:
        with pytest.raises(ClientError, match="not Understudy's"):
            await client.start("ana")
        with pytest.raises(ClientError, match="not Understudy's"):
            await listen(client, "any")


async def test_tokens(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET)
    async with running(settings) as server:
        async with AsyncClient(server.url) as client:
            with pytest.raises(Unauthorized, match="token"):
                await client.start("ana")
        async with AsyncClient(server.url, token("ana", "overlay")) as client:
            with pytest.raises(Forbidden, match="role viewer"):
                await client.start("ana")
        async with AsyncClient(server.url, token("mod", "moderator")) as client:
            session = await client.start("ana")
            assert isinstance((await listen(client, session.session_id))[-1], Done)
            frame = await within(anext(client.live()))
            assert isinstance(frame, Snapshot)
        async with AsyncClient(server.url, token("ana", "viewer")) as client:
            with pytest.raises(Unauthorized, match="moderator"):
                await within(anext(client.live()))


# --- the live feed


async def rehearse(server: Running) -> None:
    body: dict[str, Any] = {"sample": True, "speed": "max", "seed": 1, "channel": "demo"}
    assert (await server.http.post("/api/v1/rehearsals", json=body)).status_code < 300


async def test_the_live_feed(server: Running) -> None:
    async with AsyncClient(server.url, backoff=EAGER) as client:
        feed = client.live(channel="demo")
        snapshot = await within(anext(feed))
        assert isinstance(snapshot, Snapshot)
        assert snapshot.state["cohost"] == "Understudy"
        await rehearse(server)
        kinds: set[str] = set()
        while "reply" not in kinds:
            frame = await within(anext(feed))
            assert isinstance(frame, Events)
            kinds |= {event["type"] for event in frame.events}
        assert {"chat", "decision", "turn_started", "token"} <= kinds
        await feed.aclose()


async def test_the_live_feed_goes_on_where_it_was(server: Running) -> None:
    """Every connection of the feed breaks; no event is lost or doubled."""
    patient = Backoff(attempts=9, first=0.001, longest=0.01)
    async with (
        cutting(server.url, [4_000, 0, 20_000, 90_000, 200_000]) as proxy,
        AsyncClient(proxy.url, backoff=patient) as client,
    ):
        feed = client.live()
        await within(anext(feed))
        await rehearse(server)
        log = server.application.services.feed.log
        await until(lambda: log.last_seq > 300, within=30)
        ids: list[str] = []
        while len(ids) < 300:
            frame = await within(anext(feed))
            assert isinstance(frame, Events)
            ids += [event["id"] for event in frame.events]
        await feed.aclose()
    assert len(set(ids)) == len(ids)
    sent = b"".join(proxy.requests)
    assert len(re.findall(rb"GET /ws/live\?since=", sent)) >= 2


async def test_a_live_feed_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    async with AsyncClient(f"http://127.0.0.1:{port}", backoff=EAGER) as client:
        with pytest.raises(Unreachable, match="live feed"):
            await within(anext(client.live()))
