"""Nonsense over HTTP: a problem document of one sentence every time, and nothing breaks."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio

from tests.server.wire import PATIENT, assert_problem
from tests.serving import Running, running, settings_for
from tests.waiting import until

JSON = {"Content-Type": "application/json"}
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/chat"): {"session_id": "s", "user": "u", "message": "hi"},
    ("POST", "/chat/start"): {"user_id": "u", "persona": "default"},
    ("POST", "/chat/stream"): {"session_id": "open", "message": "hi"},
    ("POST", "/chat/message"): {"session_id": "open", "message": "hi"},
    ("POST", "/coach"): {"breath": {"rate_bpm": 20, "intensity": "high"}, "message": "hi"},
    ("PUT", "/personas/pirate"): {
        "system_prompt": "You are a pirate.",
        "title": "Pirate",
        "description": "Arr.",
        "emotions": ["happy"],
    },
    ("POST", "/api/v1/rehearsals"): {"sample": False, "speed": "max", "seed": 1, "channel": "c"},
    ("POST", "/api/v1/feedback"): {"experience": "t", "kind": "thumb", "value": 1, "note": "n"},
    ("POST", "/api/v1/overlay-keys"): {"overlay": "chat", "label": "obs"},
}
"""Every route that takes a JSON object, with a good one."""
REQUIRED = {
    "/chat": {"session_id", "user", "message"},
    "/chat/start": {"user_id"},
    "/chat/stream": {"session_id", "message"},
    "/chat/message": {"session_id", "message"},
    "/coach": {"breath"},
    "/personas/pirate": {"system_prompt"},
    "/api/v1/rehearsals": set[str](),
    "/api/v1/feedback": set[str](),
    "/api/v1/overlay-keys": set[str](),
}
OPTIONAL = {"persona", "message"}
"""Keys that may be null where they are not required."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A server for all tests here: it has to survive every one. It has a session `open`."""
    async with running(settings_for(tmp_path_factory.mktemp("patient"), **PATIENT)) as server:
        await server.http.post("/chat", json=GOOD["POST", "/chat"] | {"session_id": "open"})
        yield server


async def assert_alive(server: Running) -> None:
    """The next good request is answered."""
    answer = await server.http.post("/chat", json=GOOD["POST", "/chat"])
    assert answer.status_code == 200
    assert answer.json()["reply"]


def nonsense() -> dict[str, bytes]:
    """Bodies that are no JSON object."""
    return {
        "nothing": b"",
        "half": b'{"session_id": "s", "user": ',
        "text": b"hello",
        "null": b"null",
        "a number": b"1",
        "a list": b'[{"message": "hi"}]',
        "a string": b'"message"',
        "no UTF-8": b'{"message": "\xff\xfe"}',
        "10,000 levels": b'{"message": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "10,000 objects": b'{"x":' * 10_000 + b"1" + b"}" * 10_000,
        "a number of 5,000 digits": b'{"message": ' + b"9" * 5_000 + b"}",
        "rubbish": bytes(range(256)),
    }


async def test_what_is_no_object(patient: Running) -> None:
    for method, path in GOOD:
        for body in nonsense().values():
            response = await patient.http.request(method, path, content=body, headers=JSON)
            assert_problem(response, {400, 422})
        good = msgspec.json.encode(GOOD[method, path])
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"):
            headers = {"Content-Type": kind}
            response = await patient.http.request(method, path, content=good, headers=headers)
            assert_problem(response, 422, "Content-Type: application/json")
    await assert_alive(patient)


async def test_missing_keys_and_wrong_types(patient: Running) -> None:
    for (method, path), good in GOOD.items():
        for key in REQUIRED[path]:
            without = {name: value for name, value in good.items() if name != key}
            response = await patient.http.request(method, path, json=without)
            assert_problem(response, 422, key)
        for key, value in good.items():
            for wrong in (None, ["?"], {"a": 1}, 10**400, -1e300):
                if wrong is None and key in OPTIONAL - REQUIRED[path]:
                    continue
                response = await patient.http.request(method, path, json=good | {key: wrong})
                assert_problem(response, 422, key if type(value) is not list else "emotion")
    await assert_alive(patient)


async def test_strange_text(patient: Running) -> None:
    """NUL, lone surrogates, overrides, emoji, other scripts: taken or refused, never a failure."""
    strange = [r"\u0000", r"\udc00\ud800", r"a\u0000b", r"\ud83d\ude00 \ud83d", r"\u202e", "日本"]
    for (method, path), good in GOOD.items():
        for key in (key for key, value in good.items() if isinstance(value, str)):
            for text in strange:
                rest = msgspec.json.encode({k: v for k, v in good.items() if k != key})
                comma = b"," if rest != b"{}" else b""
                body = f'{{"{key}":"{text}"'.encode() + comma + rest[1:]
                response = await patient.http.request(method, path, content=body, headers=JSON)
                assert response.status_code < 500, (key, text, response.text)
                response.content.decode("utf-8")
                if response.status_code >= 400:
                    assert_problem(response, {404, 422})
    await assert_alive(patient)


async def test_a_stored_message_is_clean(patient: Running) -> None:
    body = rb'{"session_id":"clean","user":"u\u0000","message":"a\u0000b\u202e \ud800"}'
    response = await patient.http.post("/chat", content=body, headers=JSON)
    assert response.json()["message_id"]
    history = (await patient.http.get("/chat/sessions/clean")).json()["messages"]
    assert history[0]["text"] == "ab \ufffd"
    assert history[0]["user"] == "u"


async def test_a_body_beyond_the_limit(patient: Running) -> None:
    big = b'{"message": "' + b"x" * 5_000_000 + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 65_536):
            yield big[start : start + 65_536]

    for method, path in GOOD:
        response = await patient.http.request(method, path, content=big, headers=JSON)
        assert_problem(response, 413, "65536")
        # Without a Content-Length it is counted while it is read.
        response = await patient.http.request(method, path, content=pieces(), headers=JSON)
        assert_problem(response, 413, "65536")
    await assert_alive(patient)


async def test_a_message_beyond_the_limit(patient: Running) -> None:
    for path in ("/chat", "/chat/stream", "/chat/message", "/coach"):
        good = GOOD["POST", path]
        response = await patient.http.post(path, json=good | {"message": "x" * 5_000})
        assert_problem(response, 422, "4000 characters")
        response = await patient.http.post(path, json=good | {"message": "x" * 100_000})
        assert_problem(response, 413)
        for blank in ("", " ", "\n\t\u2003", "\u0000"):
            response = await patient.http.post(path, json=good | {"message": blank})
            assert_problem(response, 422, "message", "blank")
    longest = GOOD["POST", "/chat"] | {"message": "é" * 4_000}
    assert (await patient.http.post("/chat", json=longest)).status_code == 200


async def test_names_beyond_the_limit(patient: Running) -> None:
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/chat", {"session_id": "x" * 201}),
        ("POST", "/chat", {"session_id": "two words"}),
        ("POST", "/chat", {"session_id": ""}),
        ("POST", "/chat", {"user": "x" * 201}),
        ("POST", "/chat/start", {"user_id": " "}),
        ("POST", "/chat/start", {"persona": "x" * 65}),
        ("PUT", "/personas/pirate", {"system_prompt": "x" * 20_001}),
        ("PUT", "/personas/pirate", {"emotions": ["happy"] * 60}),
        ("PUT", "/personas/pirate", {"emotions": ["not a word!"]}),
        ("PUT", "/personas/pirate", {"title": "x" * 201}),
        ("POST", "/coach", {"breath": {"rate_bpm": -1, "intensity": "high"}}),
        ("POST", "/coach", {"breath": {"rate_bpm": "12", "intensity": "high"}}),
        ("POST", "/coach", {"breath": {"rate_bpm": 12}}),
        ("POST", "/coach", {"breath": {"rate_bpm": 12, "intensity": "x" * 201}}),
        ("POST", "/coach", {"breath": {"rate_bpm": 12, "intensity": True}}),
        ("POST", "/coach", {"breath": {"rate_bpm": 12, "intensity": 1e30}}),
        ("POST", "/api/v1/rehearsals", {"channel": "../etc"}),
        ("POST", "/api/v1/rehearsals", {"channel": "x" * 65}),
        ("POST", "/api/v1/rehearsals", {"seed": -1}),
        ("POST", "/api/v1/rehearsals", {"seed": 2**70}),
        ("POST", "/api/v1/rehearsals", {"speed": 0}),
        ("POST", "/api/v1/rehearsals", {"speed": 1001}),
        ("POST", "/api/v1/rehearsals", {"speed": True}),
        ("POST", "/api/v1/rehearsals", {"speed": "fast"}),
        ("POST", "/api/v1/feedback", {"value": 2}),
        ("POST", "/api/v1/feedback", {"kind": "stars"}),
        ("POST", "/api/v1/feedback", {"note": "x" * 2_001}),
        ("POST", "/api/v1/overlay-keys", {"overlay": "avatar"}),
        ("POST", "/api/v1/overlay-keys", {"label": "x" * 101}),
    ]
    for method, path, changes in attempts:
        response = await patient.http.request(method, path, json=GOOD[method, path] | changes)
        assert_problem(response, 422)
    for literal in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        for key in (b"rate_bpm", b"intensity", b"effort"):
            body = b'{"breath": {"rate_bpm": 12, "intensity": "high", "%b": %b}}' % (key, literal)
            response = await patient.http.post("/coach", content=body, headers=JSON)
            assert_problem(response, 422)
    await assert_alive(patient)


async def test_what_is_not_there(patient: Running) -> None:
    missing = [
        ("GET", "/nowhere"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/chat/sessions/unknown"),
        ("DELETE", "/chat/sessions/unknown"),
        ("GET", "/chat/sessions/%00%ff%ed%a0%80"),
        ("GET", "/chat/runs/unknown"),
        ("POST", "/chat/runs/unknown/stop"),
        ("GET", "/personas/unknown"),
        ("GET", "/personas/%00"),
        ("GET", "/personas/..%2f..%2fetc%2fpasswd"),
        ("GET", "/assets/..%2f..%2f__init__.py"),
        ("GET", "/assets/%00"),
        ("GET", "/overlay/..%2findex"),
        ("GET", "/overlay/avatar2"),
        ("GET", "/api/v1/rehearsals/unknown"),
        ("DELETE", "/api/v1/rehearsals/unknown"),
        ("POST", "/api/v1/rehearsals/unknown/lines"),
        ("POST", "/api/v1/rehearsals/unknown/start"),
        ("DELETE", "/api/v1/overlay-keys/unknown"),
        ("POST", "/api/v1/actions/explode"),
    ]
    for method, path in missing:
        assert_problem(await patient.http.request(method, path), 404)
    feedback = GOOD["POST", "/api/v1/feedback"]
    assert_problem(await patient.http.post("/api/v1/feedback", json=feedback), 404)
    body = {"session_id": "unknown", "message": "hi"}
    assert_problem(await patient.http.post("/chat/message", json=body), 404, "/chat/start")
    body = {"user_id": "u", "persona": "nobody"}
    assert_problem(await patient.http.post("/chat/start", json=body), 404, "drill_sergeant")
    body = {"breath": {"rate_bpm": 1, "intensity": 1}, "persona": "nobody"}
    assert_problem(await patient.http.post("/coach", json=body), 404, "drill_sergeant")


async def test_a_wrong_method_is_told_the_right_one(patient: Running) -> None:
    for method, path, right in (
        ("GET", "/chat", "POST"),
        ("DELETE", "/personas", "GET"),
        ("PATCH", "/healthz", "GET"),
        ("GET", "/ws/ticket", "POST"),
    ):
        response = await patient.http.request(method, path)
        assert_problem(response, 405, right)
        assert right in response.headers["Allow"]


async def test_strange_queries(patient: Running) -> None:
    stream = await patient.http.post("/chat/stream", json=GOOD["POST", "/chat/stream"])
    run = stream.headers["X-Run-Id"]
    huge = "9" * 5_000
    for query in (
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=ten",
        f"limit={huge}",
        "limit=1.5",
        "after=nonsense",
        "after=%00%ff",
        f"after={huge}",
        "after=W10",
        "newest=perhaps",
    ):
        assert_problem(await patient.http.get(f"/api/v1/messages?{query}"), 422)
    for query in ("channel=%00%ed%a0%80", "channel=nobody", f"channel={huge}", "limit=1&x=%ff"):
        page = await patient.http.get(f"/api/v1/messages?{query}")
        assert page.json() == {"messages": [], "next": None}
    for query in ("after=one", f"after={huge}", "after=1.5", "after=NaN"):
        assert_problem(await patient.http.get(f"/chat/runs/{run}?{query}"), 422)
    for after in ("-5", "-99999999999999999999999"):
        assert (await patient.http.get(f"/chat/runs/{run}?after={after}")).text == stream.text
    beyond = await patient.http.get(f"/chat/runs/{run}?after=99999999999999999999999")
    assert (beyond.status_code, beyond.text) == (200, "")


async def test_strange_last_event_ids_start_at_the_beginning(patient: Running) -> None:
    stream = await patient.http.post("/chat/stream", json=GOOD["POST", "/chat/stream"])
    run = stream.headers["X-Run-Id"]
    for last in ("", "1", f"{run}", f"{run}:", f"{run}:-1", f"{run}:x", "other:2", ":::"):
        again = await patient.http.get(f"/chat/runs/{run}", headers={"Last-Event-ID": last})
        assert again.text == stream.text
    for number in ("9" * 5_000, "9" * 20):
        headers = {"Last-Event-ID": f"{run}:{number}"}
        assert (await patient.http.get(f"/chat/runs/{run}", headers=headers)).status_code == 200


async def test_session_ids_with_slashes_are_found_again(patient: Running) -> None:
    for name in ("user/1", "päth/ü", "a%2Fb?c#d"):
        body = GOOD["POST", "/chat"] | {"session_id": name}
        assert (await patient.http.post("/chat", json=body)).status_code == 200
        path = f"/chat/sessions/{quote(name, safe='')}"
        assert (await patient.http.get(path)).json()["session_id"] == name
        assert (await patient.http.delete(path)).status_code == 204


async def test_random_bodies(patient: Running) -> None:
    """Good bodies with a few bytes changed, cut or doubled."""
    rng = random.Random(11)
    routes = [route for route in GOOD if route[1] != "/api/v1/rehearsals"]
    for _ in range(80):
        method, path = rng.choice(routes)
        body = bytearray(msgspec.json.encode(GOOD[method, path]))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            match rng.randrange(3):
                case 0:
                    body[at] = rng.randrange(256)
                case 1:
                    del body[at]
                case _:
                    body[at:at] = body[at : at + 5]
        response = await patient.http.request(method, path, content=bytes(body), headers=JSON)
        assert response.status_code < 500
        if response.status_code >= 400:
            assert_problem(response, {400, 404, 409, 422})
    await assert_alive(patient)


RAW: dict[str, bytes] = {
    "no request": b"\x00\xff\x16\x03\x01 hello\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.0\r\n\r\n",
    "a wrong length": b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    "a huge length": b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
    + b"9" * 40
    + b"\r\n\r\n",
    "a strange method": b"BREW /chat HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a huge header": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000,
    "a bad chunk": b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}


async def test_bytes_that_are_hardly_http(patient: Running) -> None:
    port = int(patient.url.rpartition(":")[2])
    for data in RAW.values():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(5):
            answer = await reader.read(200)
        assert b" 200 " not in answer
        assert b" 500 " not in answer
        writer.close()
    await assert_alive(patient)


async def test_a_peer_that_leaves_before_the_answer_begins(tmp_path: Path) -> None:
    """It is never a reader, and still its grace time runs."""
    settings = settings_for(tmp_path, brain__words_per_second=1, server__stream_grace=0)
    async with running(settings) as server:
        session = await server.session()
        body = msgspec.json.encode({"session_id": session, "message": "tell me a joke"})
        port = int(server.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /chat/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        writer.transport.abort()
        turns = server.application.services.turns
        counted = server.application.services.metrics
        await until(lambda: b'status="200"} 2.0' in counted.text() or turns.active == 1)
        await until(lambda: turns.active == 0)


async def test_messages_that_create_one_session_at_once(patient: Running) -> None:
    """Whoever comes first has it, and nothing of what was said is forgotten."""
    answers = await asyncio.gather(
        *(
            patient.http.post("/chat", json={"session_id": "new", "user": f"u{n}", "message": "hi"})
            for n in range(8)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    history = (await patient.http.get("/chat/sessions/new")).json()
    said = [message["user"] for message in history["messages"] if message["role"] == "user"]
    assert sorted(said) == [f"u{n}" for n in range(8)]
    replies = [answer.json()["message_id"] for answer in answers if answer.json()["reply"]]
    stored = [message["id"] for message in history["messages"] if message["role"] == "assistant"]
    assert sorted(stored) == sorted(replies)
