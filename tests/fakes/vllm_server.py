"""A server that speaks vLLM's part of loading LoRA adapters over a real socket.

    async with VllmServer("tiny") as server:
        served = VllmServed(server.origin, "tiny")
        await served.load("all@1", adapter)
        assert server.adapters == {"all@1": str(adapter)}

It answers as vLLM does (its serving_models.py, read but never run here): a folder without an
adapter, a name that is taken and one that is not there are refused with its words; `updating=False`
is a server that was started without `VLLM_ALLOW_RUNTIME_LORA_UPDATING`. Completions are those of
`OpenAIServer`, whose `model` must be the base or an adapter that is loaded.
"""

from pathlib import Path
from typing import Any

import msgspec

from tests.fakes.http_server import Exchange
from tests.fakes.openai_server import OpenAIServer, Reply
from tests.fakes.scripts import Script


class VllmServer(OpenAIServer):
    """vLLM with the base `model`; `adapters` are the paths that were loaded, by name."""

    def __init__(
        self, model: str, script: Script = Reply(), *, updating: bool = True, api_key: str = ""
    ) -> None:
        super().__init__(script, api_key=api_key, models=[model])
        self.model = model
        self.adapters: dict[str, str] = {}
        self._updating = updating

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        match (request.method, request.path):
            case ("POST", "/v1/load_lora_adapter") if self._updating:
                self._load(exchange, request.json)
            case ("POST", "/v1/unload_lora_adapter") if self._updating:
                self._unload(exchange, request.json)
            case ("GET", "/v1/models"):
                self._list(exchange)
            case _:
                self._models = [self.model, *self.adapters]
                await super().answer(exchange)

    def _load(self, exchange: Exchange, body: dict[str, str]) -> None:
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            said = f"The lora adapter '{name}' has already been loaded."
            return _error(exchange, 400, said, "InvalidUserInput")
        if not (Path(path) / "adapter_config.json").is_file():
            said = f"Loading lora {name} failed: No adapter found for {path}"
            return _error(exchange, 404, said, "NotFoundError")
        self.adapters[name] = path
        _text(exchange, f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, exchange: Exchange, body: dict[str, str]) -> None:
        name = body["lora_name"]
        if name not in self.adapters:
            said = f"The lora adapter '{name}' cannot be found."
            return _error(exchange, 404, said, "NotFoundError")
        del self.adapters[name]
        _text(exchange, f"Success: LoRA adapter '{name}' removed successfully.")

    def _list(self, exchange: Exchange) -> None:
        card: dict[str, Any] = {"object": "model", "created": 0, "owned_by": "vllm"}
        data = [{**card, "id": self.model, "root": self.model, "parent": None}]
        data += [
            {**card, "id": name, "root": path, "parent": self.model}
            for name, path in self.adapters.items()
        ]
        body = msgspec.json.encode({"object": "list", "data": data})
        exchange.respond(200, body, {}, content_type="application/json")


def _text(exchange: Exchange, said: str) -> None:
    exchange.respond(200, said.encode(), {}, content_type="text/plain; charset=utf-8")


def _error(exchange: Exchange, status: int, message: str, kind: str) -> None:
    error = {"message": message, "type": kind, "param": None, "code": status}
    body = msgspec.json.encode({"error": error})
    exchange.respond(status, body, {}, content_type="application/json")
