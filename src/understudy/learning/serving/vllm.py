"""Versions in a vLLM server, which batches replies of different adapters together.

Owns the calls that load and unload adapters while the server runs. It must be started with
`--enable-lora`, a `--max-loras` of at least 3 and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`, and be
reachable by nobody else, for whoever reaches it can load anything.

Names are versions, such as `all@3`, and never used again: replies under way keep their weights.
https://docs.vllm.ai/en/latest/features/lora.html
"""

from pathlib import Path

import msgspec

from understudy.learning.serving.http import ModelServer
from understudy.learning.versions.errors import VersionError
from understudy.storage.rows import BASE


class _Model(msgspec.Struct):
    id: str
    parent: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model] = []


class VllmServed:
    """The versions of the base `model` in a vLLM server; see `ServedVersions`."""

    def __init__(
        self, url: str, model: str, *, api_key: str = "", folder: Path | None = None, seen: str = ""
    ) -> None:
        """`url` is the server's root, without `/v1`.

        Where the server sees this machine's `folder` under another name, `seen` is that.
        """
        self._server = ModelServer("vLLM", url.rstrip("/").removesuffix("/v1"), api_key)
        self._model = model
        self._folder = folder
        self._seen = seen
        self._default = BASE

    async def load(self, version: str, adapter: Path) -> None:
        """Load the adapter under the name of the version; one that is loaded already is refused."""
        if version in await self.versions():
            raise VersionError(f"version {version} is loaded already: choose a new name")
        body = {"lora_name": version, "lora_path": self._path(adapter)}
        await self._server.ask("POST", "/v1/load_lora_adapter", body)

    async def unload(self, version: str) -> None:
        """Take the adapter out; whoever calls this made sure that no reply uses it any more."""
        if version in {BASE, self._default}:
            raise VersionError(
                f"version {version} is what new replies get or the base: promote another first"
            )
        await self._server.ask("POST", "/v1/unload_lora_adapter", {"lora_name": version})

    async def promote(self, version: str) -> None:
        """Give it to replies that ask for no version."""
        if version not in await self.versions():
            raise VersionError(f"version {version} is not loaded: load it or choose another")
        self._default = version

    async def versions(self) -> list[str]:
        """The base and the adapters that the server lists."""
        _, body = await self._server.ask("GET", "/v1/models")
        try:
            listed = msgspec.json.decode(body, type=_Models).data
        except msgspec.DecodeError:
            raise VersionError(
                f"{self._server.name} lists no models: check that it is a vLLM server"
            ) from None
        names = [model.id for model in listed]
        if self._model not in names:
            known = ", ".join(names[:5]) or "none"
            raise VersionError(
                f"{self._server.name} does not serve {self._model} (it has {known}): start it with "
                "that model"
            )
        return [BASE, *(model.id for model in listed if model.parent and "@" in model.id)]

    def model(self, version: str) -> str:
        """The adapter's name, or the base model's."""
        wanted = version or self._default
        return self._model if wanted == BASE else wanted

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    def _path(self, adapter: Path) -> str:
        if self._folder is None or not self._seen:
            return str(adapter)
        return f"{self._seen.rstrip('/')}/{adapter.relative_to(self._folder).as_posix()}"
