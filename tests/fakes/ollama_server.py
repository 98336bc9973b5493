"""A server that speaks Ollama's part of making models over a real socket.

    async with OllamaServer(["tiny:latest"]) as server:
        served = OllamaServed(server.origin, "tiny")
        await served.load("all@1", adapter)
        assert server.made["understudy-all:1"] == {"adapter_config.json": b"…", …}

As the real one (docs/api.md of ollama/ollama): files come first, as blobs whose digest is checked,
and a model made from blobs that are not there, or from an unknown base, is an error inside of a 200
or a 400. `/api/create` streams its states unless it is told not to.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.fakes.http_server import Exchange, HttpServer

_JSON = "application/json"


class OllamaServer(HttpServer):
    """Ollama with the models `models`; `made` are the adapters' files by model and name."""

    def __init__(self, models: Sequence[str], *, failure: str = "", streams: bool = False) -> None:
        super().__init__()
        self.models = list(models)
        self.made: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self._failure = failure
        self._streams = streams

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        digest = request.path.removeprefix("/api/blobs/sha256:")
        match (request.method, request.path):
            case ("HEAD", path) if path.startswith("/api/blobs/"):
                _respond(exchange, 200 if digest in self.blobs else 404, b"")
            case ("POST", path) if path.startswith("/api/blobs/"):
                right = hashlib.sha256(request.body).hexdigest() == digest
                if right:
                    self.blobs[digest] = request.body
                _respond(exchange, 201 if right else 400, b"")
            case ("POST", "/api/create"):
                self._create(exchange, request.json)
            case ("DELETE", "/api/delete"):
                self._delete(exchange, request.json["model"])
            case ("GET", "/api/tags"):
                names = [*self.models, *self.made]
                _respond(exchange, 200, {"models": [{"name": n, "model": n} for n in names]})
            case _:
                _respond(exchange, 404, b"404 page not found")

    def _create(self, exchange: Exchange, body: dict[str, Any]) -> None:
        blobs = {name: d.removeprefix("sha256:") for name, d in body["adapters"].items()}
        base = body["from"]
        if not {base, f"{base}:latest"} & set(self.models):
            return _respond(exchange, 404, {"error": f"model '{base}' not found"})
        if missing := [digest for digest in blobs.values() if digest not in self.blobs]:
            return _respond(exchange, 400, {"error": f"blob sha256:{missing[0]} not found"})
        if self._failure:
            return _respond(exchange, 200, {"error": self._failure})
        self.made[body["model"]] = {name: self.blobs[digest] for name, digest in blobs.items()}
        states = [{"status": "converting adapter"}, {"status": "success"}]
        if self._streams or body.get("stream", True):
            lines = b"\n".join(msgspec.json.encode(state) for state in states)
            return _respond(exchange, 200, lines)
        _respond(exchange, 200, states[-1])

    def _delete(self, exchange: Exchange, name: str) -> None:
        if name not in self.made:
            return _respond(exchange, 404, {"error": f"model '{name}' not found"})
        del self.made[name]
        _respond(exchange, 200, b"")


def _respond(exchange: Exchange, status: int, body: object) -> None:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    exchange.respond(status, data, {}, content_type=_JSON)
