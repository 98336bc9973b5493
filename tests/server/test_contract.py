"""The server's real output has the shapes that `tests/contract` records for all clients."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect

from tests.client.contract import cases, parts
from tests.server.wire import PATIENT, SECRET, bearer, receive, say
from tests.serving import Running, parse_events, running, settings_for
from tests.stepped_brain import SteppedBrain
from tests.waiting import until
from understudy.brains.base import BrainError
from understudy.bus import Bus
from understudy.events import ChatMessage
from understudy.outputs.live import FEED_EVENTS, LiveEvent, LiveFeed, LiveView
from understudy.server import audience

PERSONA = {"system_prompt": "You are x."}
OPEN = {"result", "tags"}
"""Objects whose keys differ from case to case."""


def shape(value: Any) -> Any:
    """`value` with every leaf replaced by the name of its type; a list by its first entry."""
    match value:
        case dict():
            return {k: "object" if k in OPEN else shape(v) for k, v in sorted(value.items())}
        case list():
            return [shape(entry) for entry in value[:1]]
        case bool() | None | str():
            return type(value).__name__
        case _:
            return "number"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        yield server


def recorded_frames(name: str) -> list[Any]:
    """The data of each event of a recorded stream that is whole."""
    (part,) = parts(cases("streams")[name])
    return [data for _, data in parse_events(part.decode())]


async def streamed(server: Running, brain: SteppedBrain | None = None) -> list[Any]:
    if brain is not None:
        brain.free = True
        server.application.services.router.brain = brain
    body = {"session_id": await server.session(), "message": "hello there"}
    response = await server.http.post("/chat/stream", json=body)
    return [data for _, data in parse_events(response.text)]


async def test_streams(server: Running) -> None:
    token, *_, done = await streamed(server)
    recorded_token, *_, recorded_done = recorded_frames("complete")
    assert shape(token) == shape(recorded_token)
    assert shape(done) == shape(recorded_done)
    failing = SteppedBrain()
    failing.error = BrainError("it broke off: ask again", kind="broken")
    *_, failed = await streamed(server, failing)
    assert shape(failed) == shape(recorded_frames("failed")[-1])


async def test_stopped_streams(server: Running) -> None:
    brain = SteppedBrain()
    server.application.services.router.brain = brain
    session = await server.session()
    body = {"session_id": session, "message": "hello there"}
    async with server.http.stream("POST", "/chat/stream", json=body) as response:
        brain.permit(session, 2)
        await until(lambda: bool(brain.requests))
        await server.http.post(f"/chat/runs/{response.headers['X-Run-Id']}/stop")
        text = (await response.aread()).decode()
    (*_, (_, done)) = parse_events(text)
    assert shape(done) == shape(recorded_frames("stopped")[-1])
    assert done["interrupted"] == "stopped"


async def test_an_expired_run(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, server__run_ttl=0)) as server:
        body = {"session_id": await server.session(), "message": "hello"}
        response = await server.http.post("/chat/stream", json=body)
        gone = await server.http.get(f"/chat/runs/{response.headers['X-Run-Id']}")
    for recorded in (cases("problems")["gone"], cases("streams")["expired"]["then"]):
        assert gone.status_code == recorded["status"]
        assert shape(gone.json()) == shape(recorded["body"])


async def test_problems(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, auth__required=True, auth__secret=SECRET, limits__per_session=6.0
    )
    async with running(settings) as server:
        http, mine = server.http, bearer()
        started = await http.post("/chat/start", json={"user_id": "ana"}, headers=mine)
        hi = {"session_id": started.json()["session_id"], "message": "hi"}
        answers: dict[str, httpx2.Response] = {
            "unauthorized": await http.get("/personas"),
            "forbidden": await http.put("/personas/x", json=PERSONA, headers=mine),
            "not_found": await http.get("/chat/sessions/nope", headers=mine),
            "invalid": await http.post(
                "/chat/message", json=hi | {"message": "x" * 4_001}, headers=mine
            ),
        }
        brain = SteppedBrain()
        brain.free, brain.error = True, BrainError("it broke off: ask again", kind="broken")
        server.application.services.router.brain = brain
        answers["failed"] = await http.post("/chat/message", json=hi, headers=mine)
        while "too_many_requests" not in answers:
            answer = await http.post("/chat/message", json=hi, headers=mine)
            if answer.status_code == 429:
                answers["too_many_requests"] = answer
        await http.delete(f"/chat/sessions/{hi['session_id']}", headers=mine)
        answers["ended"] = await http.post("/chat/message", json=hi, headers=mine)
    recorded = cases("problems")
    for name, answer in answers.items():
        assert answer.status_code == recorded[name]["status"], name
        assert shape(answer.json()) == shape(recorded[name]["body"]), name
        assert set(recorded[name]["headers"]) <= set(answer.headers), name
    assert set(recorded) - set(answers) == {"gone", "of_a_proxy"}


async def test_live_frames(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = {name: case["frame"] for name, case in cases("live").items()}
    body = {"sample": True, "speed": "max", "seed": 1, "channel": "demo"}
    await server.http.post("/api/v1/rehearsals", json=body)
    log = server.application.services.feed.log
    await until(lambda: log.last_seq > 300, within=30)
    feed = server.application.services.feed.id
    async with connect(f"{server.socket_url}/ws/live") as socket:
        snapshot = await receive(socket)
    assert snapshot.keys() == recorded["snapshot"].keys()
    assert shape(snapshot["state"]) == shape(recorded["snapshot"]["state"])
    async with connect(f"{server.socket_url}/ws/live?since={feed}:0") as socket:
        events = await receive(socket)
    assert events.keys() == recorded["events"].keys()
    for example in [*recorded["snapshot"]["events"], *recorded["events"]["events"]]:
        alike = [event for event in events["events"] if event["type"] == example["type"]]
        known = {key: shape(value) for event in alike for key, value in event.items()}
        assert alike, example["type"]
        assert {key: known[key] for key in example} == shape(example)
    monkeypatch.setattr(audience, "PING_SECONDS", 0.02)
    async with connect(f"{server.socket_url}/ws/live?channel=silent") as socket:
        await receive(socket)
        assert await receive(socket) == recorded["ping"]


async def test_a_gap_in_the_feed() -> None:
    """The feed forgets what is too old for it; a viewer is told how much that was."""
    bus = Bus()
    feed = LiveFeed(bus)
    view = LiveView(feed, dict)
    entry = LiveEvent("#demo", ChatMessage, b"{}")
    for _ in range(FEED_EVENTS + 42):
        feed.log.append(entry)
    frame = await view.frame(within=1)
    assert frame is not None
    assert msgspec.json.decode(frame) == cases("live")["gap"]["frame"]
    await feed.close()


async def test_chat_frames(server: Running) -> None:
    recorded = {name: case["frame"] for name, case in cases("chat").items()}
    async with connect(f"{server.socket_url}/ws/chat") as socket:
        seen = {"system": await receive(socket)}
        seen["token"] = await say(socket, {"message": "hello there", "stream": True})
        while (frame := await receive(socket))["type"] == "token":
            pass
        seen["message"] = frame
        seen["command_response"] = await say(socket, {"message": "/getcontext"})
        seen["error"] = await say(socket, {"message": "/hlep"})
    assert {name: shape(frame) for name, frame in seen.items()} == {
        name: shape(frame) for name, frame in recorded.items()
    }
