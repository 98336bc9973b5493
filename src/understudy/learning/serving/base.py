"""What serves versions, whatever it is."""

from pathlib import Path
from typing import Protocol


class ServedVersions(Protocol):
    """The versions of one base that replies can be asked of; `base` is always among them.

    A version never changes once it is loaded: replies under way, canaries and their comparison all
    rest on that. Every method but `versions` and `model` raises `VersionError` or `BrainError`.
    """

    async def load(self, version: str, adapter: Path) -> None:
        """Make `version` ready to answer; the adapter's folder is on this machine."""
        ...

    async def unload(self, version: str) -> None:
        """Let no new reply have `version` and free what it takes.

        In this process that waits for replies under way; of a server's replies nobody knows here,
        so it is not asked to before they are long over.
        """
        ...

    async def promote(self, version: str) -> None:
        """Give `version` to replies that ask for none."""
        ...

    async def versions(self) -> list[str]:
        """The versions that are ready, `base` first."""
        ...

    def model(self, version: str) -> str:
        """What a request for a reply of `version` calls it."""
        ...

    async def aclose(self) -> None:
        """Give back connections; what is loaded stays."""
        ...
