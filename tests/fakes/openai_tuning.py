"""OpenAI's files and fine-tuning jobs: the part of `OpenAIServer` that trains.

    async with OpenAIServer(tuning=Tuning(["queued", "failed"], failure=WHY)) as server:
        ...
        assert server.tuning.jobs["ftjob-1"]["model"] == "gpt-x"

A job takes one step of `states` whenever it is asked for, with an event for each. `failure` is the
error of a job that ends as `failed`. As the real one it wants files of the purpose `fine-tune`,
refuses a job on a file it does not have or a model that cannot be trained (when `models` are
given), and lists events newest first in pages. It can be told to break: `broken` are requests, and
`lost` looks at a job, that are answered with 500 first.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.fakes.http_server import Exchange, Request

STATES = ("validating_files", "queued", "running", "succeeded")
_ENDED = {"succeeded", "failed", "cancelled"}
_JOB = re.compile(r"/v1/fine_tuning/jobs/(ftjob-\d+)(/events|/cancel)?")
_PATHS = ("/v1/files", "/v1/fine_tuning/")
Json = dict[str, Any]


class Tuning:
    """Files and fine-tuning jobs; `files` are their contents, `jobs` the jobs by their ids."""

    def __init__(
        self, states: Sequence[str] = STATES, *, failure: Json | None = None, broken: int = 0
    ) -> None:
        self.states = states
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, Json] = {}
        self.events: dict[str, list[Json]] = {}
        self.broken = broken
        self.lost = 0
        self.models: list[str] = []
        self._failure = failure

    def wants(self, request: Request) -> bool:
        """Whether the request is about files or jobs."""
        return request.path.startswith(_PATHS)

    def answer(self, exchange: Exchange) -> None:
        """Answer a request about files or jobs."""
        request = exchange.request
        path = urlsplit(request.path).path
        if self.broken:
            self.broken -= 1
            return _fail(exchange, 500, "The server had an error", None)
        match = _JOB.fullmatch(path)
        if match and self.lost:
            self.lost -= 1
            return _fail(exchange, 500, "The server had an error", None)
        if (request.method, path) == ("POST", "/v1/files"):
            self._store(exchange, request)
        elif (request.method, path) == ("POST", "/v1/fine_tuning/jobs"):
            self._create(exchange, request.json)
        elif (request.method, path) == ("GET", "/v1/fine_tuning/jobs"):
            self._page(exchange, list(self.jobs.values())[::-1], request)
        elif match is None or match[1] not in self.jobs:
            _fail(exchange, 404, "Could not find the fine tune", "fine_tune_not_found")
        elif match[2] == "/events":
            self._page(exchange, self.events[match[1]][::-1], request)
        elif match[2] == "/cancel":
            self._go(match[1], "cancelled")
            _respond(exchange, self.jobs[match[1]])
        else:
            self._go(match[1])
            _respond(exchange, self.jobs[match[1]])

    def _store(self, exchange: Exchange, request: Request) -> None:
        boundary = request.headers["content-type"].partition("boundary=")[2].encode()
        parts = request.body.split(b"--" + boundary)
        fields: dict[bytes, bytes] = {}
        for part in parts[1:-1]:
            head, _, body = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="(\w+)"', head)
            assert name is not None
            fields[name[1]] = body.removesuffix(b"\r\n")
        if fields.get(b"purpose") != b"fine-tune":
            return _fail(exchange, 400, "'purpose' must be fine-tune", None)
        name = f"file-{len(self.files) + 1}"
        self.files[name] = fields[b"file"]
        _respond(
            exchange,
            {
                "id": name,
                "object": "file",
                "bytes": len(fields[b"file"]),
                "created_at": 1,
                "filename": "rows.jsonl",
                "purpose": "fine-tune",
                "status": "processed",
            },
        )

    def _create(self, exchange: Exchange, body: Json) -> None:
        for key in ("training_file", "validation_file"):
            if key in body and body[key] not in self.files:
                return _fail(exchange, 400, f"invalid {key}: {body[key]}", "invalid_file")
        if self.models and body["model"] not in self.models:
            return _fail(exchange, 400, f"Model {body['model']} is not available", None)
        number = f"ftjob-{len(self.jobs) + 1}"
        self.jobs[number] = {
            "id": number,
            "object": "fine_tuning.job",
            "created_at": 1,
            "organization_id": "org-test",
            "hyperparameters": {"n_epochs": "auto"},
            "result_files": [],
            "seed": body.get("seed", 0),
            "status": self.states[0],
            "error": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "trained_tokens": None,
            "validation_file": None,
            **body,
        }
        self.events[number] = []
        self._tell(number, "Created fine-tuning job")
        _respond(exchange, self.jobs[number])

    def _go(self, number: str, status: str = "") -> None:
        """Let a job take its next step, or end it with `status`."""
        job = self.jobs[number]
        if job["status"] in _ENDED:
            return
        at = self.states.index(job["status"])
        job["status"] = status or self.states[min(at + 1, len(self.states) - 1)]
        self._tell(number, f"The job is {job['status']}")
        if job["status"] == "running":
            self._tell(number, "Step 10/20: training loss=1.25")
        if job["status"] == "succeeded":
            suffix = job.get("suffix", "")
            job |= {
                "fine_tuned_model": f"ft:{job['model']}:test:{suffix}:abc",
                "finished_at": 9,
                "trained_tokens": 1234,
            }
        elif job["status"] == "failed":
            job["error"] = self._failure

    def _tell(self, number: str, message: str) -> None:
        events = self.events[number]
        events.append(
            {
                "id": f"ftevent-{number}-{len(events) + 1}",
                "object": "fine_tuning.job.event",
                "created_at": len(events) + 1,
                "level": "info",
                "message": message,
            }
        )

    def _page(self, exchange: Exchange, rows: list[Json], request: Request) -> None:
        """Two rows a page, whatever is asked for, so that every client must turn pages."""
        after = parse_qs(urlsplit(request.path).query).get("after", [""])[0]
        ids = [row["id"] for row in rows]
        begin = ids.index(after) + 1 if after else 0
        page = rows[begin : begin + 2]
        _respond(exchange, {"object": "list", "data": page, "has_more": begin + 2 < len(rows)})


def _respond(exchange: Exchange, body: Json) -> None:
    exchange.respond(200, msgspec.json.encode(body), {}, content_type="application/json")


def _fail(exchange: Exchange, status: int, message: str, code: str | None) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    body = msgspec.json.encode({"error": error})
    # So that the SDK does not wait between its own attempts.
    headers = {"retry-after-ms": "1"}
    exchange.respond(status, body, headers, content_type="application/json")
