"""Which versions of a model there are, which answers new replies, and who is using which.

Owns names and leases, for any thread. Does not own weights (`adapters`).
"""

import threading

from understudy.brains.base import BrainError
from understudy.storage.rows import BASE


class Versions:
    """The book of versions. A reply leases one when it starts and keeps it to its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[str, int] = {BASE: 0}
        self._leaving: set[str] = set()
        self._default = BASE

    @property
    def default(self) -> str:
        """The version of new replies."""
        return self._default

    def names(self) -> list[str]:
        """The versions a reply can have, in the order in which they were loaded."""
        with self._lock:
            return [name for name in self._leases if name not in self._leaving]

    def add(self, name: str) -> None:
        """Offer a version."""
        with self._lock:
            self._leases[name] = 0

    def check_new(self, name: str) -> None:
        """Raise `BrainError` for a name that is empty or taken: weights never change in place."""
        with self._lock:
            if not name.strip() or name in self._leases:
                raise BrainError(
                    f"version '{name}' is loaded already or no name: choose a new one",
                    kind="refused",
                )

    def promote(self, name: str) -> None:
        """Give `name` to new replies; replies under way keep theirs. Raises `BrainError`."""
        with self._lock:
            self._check_there(name)
            self._default = name

    def lease(self, name: str = "") -> str:
        """Take a lease on `name` (the default version when empty) and return its name."""
        with self._lock:
            name = name or self._default
            self._check_there(name)
            self._leases[name] += 1
            return name

    def release(self, name: str) -> None:
        """Give a lease back."""
        with self._lock:
            self._leases[name] -= 1

    def leave(self, name: str) -> None:
        """Let no new reply have `name`; raises `BrainError` for the base and the default."""
        with self._lock:
            self._check_there(name)
            if name in {BASE, self._default}:
                raise BrainError(
                    f"version '{name}' is what new replies get or the base: promote another first",
                    kind="refused",
                )
            self._leaving.add(name)

    def is_free(self, name: str) -> bool:
        """Whether no reply uses `name`."""
        with self._lock:
            return self._leases[name] == 0

    def remove(self, name: str) -> None:
        """Forget a version that has left."""
        with self._lock:
            del self._leases[name]
            self._leaving.discard(name)

    def _check_there(self, name: str) -> None:
        if name not in self._leases or name in self._leaving:
            raise BrainError(
                f"version '{name}' is not loaded: load it or choose another", kind="unknown_model"
            )
