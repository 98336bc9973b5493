"""Versions in the model of this process.

Owns nothing: the brain does it all. A reply's version is an argument of its `stream`.
"""

from pathlib import Path

from understudy.brains.huggingface import HuggingFaceBrain


class LocallyServed:
    """The versions of a `HuggingFaceBrain`; see `ServedVersions`."""

    def __init__(self, brain: HuggingFaceBrain) -> None:
        self._brain = brain

    async def load(self, version: str, adapter: Path) -> None:
        """Load it while replies run."""
        await self._brain.load(version, adapter)

    async def unload(self, version: str) -> None:
        """Free its memory once no reply uses it."""
        await self._brain.unload(version)

    async def promote(self, version: str) -> None:
        """Give it to replies that ask for no version."""
        self._brain.promote(version)

    async def versions(self) -> list[str]:
        """The versions that are loaded."""
        return self._brain.versions()

    def model(self, version: str) -> str:
        """The version itself: `HuggingFaceBrain.stream` takes it as it is."""
        return version

    async def aclose(self) -> None:
        """Nothing: the brain is closed by its owner."""
