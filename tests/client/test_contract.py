"""The Python client makes of the recorded frames what is expected of every client."""

import re
from typing import Any

import msgspec
import pytest

from tests.client.contract import cases, parts
from understudy.client import Backoff, decode_chat_frame, decode_live_frame
from understudy.client.errors import api_error
from understudy.client.reading import Reading

STREAMS = cases("streams")
PROBLEMS = cases("problems")


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(name: str, piece: int) -> None:
    case = STREAMS[name]
    reading = Reading("s1", "hi", Backoff())
    events: list[Any] = []
    resumes: list[str] = []
    for number, part in enumerate(parts(case)):
        if number:
            reading.retry(None)
            resumes.append(reading.request().headers["Last-Event-ID"])
        reading.opened({"x-run-id": case["run"]})
        for start in range(0, len(part), piece):
            events += reading.feed(part[start : start + piece])
    if then := case.get("then"):
        reading.retry(None)
        resumes.append(reading.request().headers["Last-Event-ID"])
        events += reading.refused(then["status"], {}, msgspec.json.encode(then["body"]))
    assert msgspec.to_builtins(events) == case["expected"]["events"]
    assert resumes == case["expected"]["resumes_after"]
    assert reading.ended
    assert reading.run == case["run"]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem(name: str) -> None:
    case = PROBLEMS[name]
    body = case["text"].encode() if "text" in case else msgspec.json.encode(case["body"])
    error = api_error(case["status"], case["headers"], body)
    expected = {"detail": str(error)} | case["expected"]
    assert expected == {
        "kind": error.kind,
        "status": error.status,
        "detail": str(error),
        "retry_after": error.retry_after,
    }
    assert "detail" in case["expected"] or str(case["status"]) in str(error)


@pytest.mark.parametrize("case", cases("live").values(), ids=cases("live"))
def test_a_live_frame(case: dict[str, Any]) -> None:
    frame = decode_live_frame(msgspec.json.encode(case["frame"]))
    assert msgspec.to_builtins(frame) == case["expected"]


@pytest.mark.parametrize("case", cases("chat").values(), ids=cases("chat"))
def test_a_chat_frame(case: dict[str, Any]) -> None:
    frame = decode_chat_frame(msgspec.json.encode(case["frame"]))
    assert msgspec.to_builtins(frame) == case["expected"]


def test_the_recordings_are_well_formed() -> None:
    assert {"complete", "failed", "pings", "resumed", "expired"} <= set(STREAMS)
    whole_event = re.compile(r": .*|id: \S+:\d+\ndata: .+")
    for name, case in STREAMS.items():
        for part in parts(case):
            *events, _ = part.decode().split("\n\n")
            assert all(whole_event.fullmatch(event) for event in events), name
