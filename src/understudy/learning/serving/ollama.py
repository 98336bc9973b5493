"""Versions in Ollama, each a model of its own made from a base and an adapter.

Owns the calls that make and remove those models. Ollama loads a model when it is first asked and
unloads it after some minutes without a question: it takes disk, not memory, to keep one.
https://docs.ollama.com/api#create-a-model
"""

import asyncio
import hashlib
from pathlib import Path

import msgspec

from understudy.learning.serving.http import ModelServer
from understudy.learning.training.errors import reason_of
from understudy.learning.versions.errors import VersionError
from understudy.storage.rows import BASE

PREFIX = "understudy-"
_FILES = ("adapter_config.json", "adapter_model.safetensors")


class _Tag(msgspec.Struct):
    name: str


class _Tags(msgspec.Struct):
    models: list[_Tag] = []


class _Progress(msgspec.Struct):
    status: str = ""
    error: str = ""


class OllamaServed:
    """The versions of the base `model` in Ollama at `url` (its root); see `ServedVersions`."""

    def __init__(self, url: str, model: str) -> None:
        self._server = ModelServer("Ollama", url.rstrip("/").removesuffix("/v1"))
        self._model = model
        self._default = BASE

    async def load(self, version: str, adapter: Path) -> None:
        """Make the version's model; raises when there is one of that name."""
        if version in await self.versions():
            raise VersionError(f"version {version} is loaded already: choose a new name")
        digests = {name: await self._push(adapter / name) for name in _FILES}
        body = {
            "model": self.model(version),
            "from": self._model,
            "adapters": digests,
            "stream": False,
        }
        _, answer = await self._server.ask("POST", "/api/create", body)
        progress = _last(answer)
        if progress.error or progress.status != "success":
            why = progress.error or progress.status or "it said nothing"
            raise VersionError(f"{self._server.name} did not make version {version} ({why})")

    async def unload(self, version: str) -> None:
        """Remove the version's model; one that is not there counts as removed."""
        if version in {BASE, self._default}:
            raise VersionError(
                f"version {version} is what new replies get or the base: promote another first"
            )
        body = {"model": self.model(version)}
        await self._server.ask("DELETE", "/api/delete", body, fine=frozenset({404}))

    async def promote(self, version: str) -> None:
        """Give it to replies that ask for no version."""
        if version not in await self.versions():
            raise VersionError(f"version {version} is not loaded: load it or choose another")
        self._default = version

    async def versions(self) -> list[str]:
        """The base and the versions that there are models of."""
        _, body = await self._server.ask("GET", "/api/tags")
        try:
            tags = msgspec.json.decode(body, type=_Tags).models
        except msgspec.DecodeError:
            raise VersionError(
                f"{self._server.name} lists no models: check that it is Ollama"
            ) from None
        found = [_version(tag.name) for tag in tags]
        return [BASE, *(version for version in found if version)]

    def model(self, version: str) -> str:
        """The name of the version's model, such as `understudy-all:3`, or the base model's."""
        wanted = version or self._default
        if wanted == BASE:
            return self._model
        channel, _, number = wanted.rpartition("@")
        return f"{PREFIX}{channel}:{number}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    async def _push(self, file: Path) -> str:
        """Send a file unless Ollama has it; returns its digest."""
        try:
            content = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            raise VersionError(f"{file} cannot be read ({reason_of(error)}): restore it") from error
        digest = f"sha256:{await asyncio.to_thread(_sha256, content)}"
        path = f"/api/blobs/{digest}"
        status, _ = await self._server.ask("HEAD", path, fine=frozenset({404}))
        if status == 404:
            await self._server.ask("POST", path, content=content)
        return digest


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _version(name: str) -> str:
    """The version that a model of this name is; empty when it is none of ours."""
    channel, _, number = name.removeprefix(PREFIX).rpartition(":")
    return f"{channel}@{number}" if name.startswith(PREFIX) and number.isdigit() else ""


def _last(answer: bytes) -> _Progress:
    """The last of the states that Ollama told: old ones stream them whatever they are asked."""
    lines = [line for line in answer.splitlines() if line.strip()]
    try:
        return msgspec.json.decode(lines[-1], type=_Progress) if lines else _Progress()
    except msgspec.DecodeError:
        return _Progress()
