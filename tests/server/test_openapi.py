"""The HTTP API against its own description: what `/openapi.json` promises, over a real socket."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.wire import PATIENT
from tests.serving import running, settings_for

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


class Background:
    """A server in a thread with a loop of its own, for clients that are not asynchronous."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="served API")

    def __enter__(self) -> "Background":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with running(settings_for(self._folder, **PATIENT)) as server:
            self.url = server.url
            self._ready.set()
            await self._stop.wait()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with Background(tmp_path_factory.mktemp("openapi")) as server:
        yield server


@pytest.fixture(scope="module")
def api_schema(api: Background) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_every_answer_is_as_described(
    api_schema: schemathesis.BaseSchema, mode: schemathesis.GenerationMode
) -> None:
    """Good and bad requests: no failure inside, and every error a problem document."""
    answers: Counter[int] = Counter()
    for result in api_schema.get_all_operations():
        answers += explore(result.ok(), mode)
    good = mode is schemathesis.GenerationMode.POSITIVE
    for status in (200, 404) if good else (422,):
        assert answers[status] >= 25, answers


def explore(
    operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode
) -> Counter[int]:
    """Send good or bad requests of one operation; how often each status came."""
    answers: Counter[int] = Counter()

    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        response = case.call_and_validate(checks=CHECKS, timeout=20)
        answers[response.status_code] += 1
        if response.status_code >= 400:
            assert len(sentence(case.path, response).split()) >= 3

    # There is no bad request of an operation that takes nothing.
    with suppress(Unsatisfiable):
        send()
    return answers


def sentence(path: str, response: schemathesis.Response) -> str:
    """What an error says: in a problem document, or as OpenAI's clients expect it."""
    openai = path.startswith("/v1/")
    kind = "application/json" if openai else "application/problem+json"
    assert response.headers["content-type"] == [kind]
    return response.json()["error"]["message"] if openai else response.json()["detail"]


def test_the_description_is_complete(api_schema: schemathesis.BaseSchema) -> None:
    paths = set(api_schema.raw_schema["paths"])
    assert {
        "/chat",
        "/chat/start",
        "/chat/stream",
        "/chat/message",
        "/chat/sessions/{session_id}",
        "/chat/runs/{run_id}",
        "/chat/runs/{run_id}/stop",
        "/personas",
        "/personas/{name}",
        "/coach",
        "/v1/chat/completions",
        "/v1/models",
        "/ws/ticket",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/messages",
        "/api/v1/status",
        "/api/v1/feedback",
        "/api/v1/rehearsals",
        "/api/v1/overlay-keys",
        "/api/v1/actions/{action}",
    } <= paths
    for operations in api_schema.raw_schema["paths"].values():
        for operation in operations.values():
            assert operation["description"]
            assert {"4XX", "5XX"} <= set(operation["responses"])
