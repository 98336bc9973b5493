"""The login on the disk: one small file that only its owner can read.

Owns the file, its mode and that it is never half written. Does not own what a token is good for
(`auth`).
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from understudy.sources.twitch.errors import TokenFileError

NAME = "twitch.token"
"""Of the file, in the data directory."""


class Token(msgspec.Struct, frozen=True):
    """An access token with what renews it; `expires_at` is in seconds since the epoch, UTC.

    Its representation leaves the secrets out: it may end in a traceback.
    """

    client_id: str
    access_token: str
    refresh_token: str
    expires_at: float
    login: str = ""
    user_id: str = ""
    scopes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Token(login={self.login!r}, expires_at={self.expires_at!r})"


class TokenFile:
    """A token in `path`. All methods work in a thread and raise `TokenFileError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A write whose caller has given up goes on: what follows must not be overtaken by it.
        self._changing = threading.Lock()

    async def read(self) -> Token | None:
        """The stored token, or None when there is none."""
        try:
            data = await asyncio.to_thread(self._path.read_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenFileError(
                f"{self._path} cannot be read ({_reason(error)}): check who may read it"
            ) from None
        try:
            return msgspec.json.decode(data, type=Token)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise TokenFileError(f"{self._path} holds no login: log in to Twitch again") from None

    async def write(self, token: Token) -> None:
        """Put `token` in the place of what was stored; it is there whole or not at all."""
        await self._change(
            self._replace,
            msgspec.json.encode(token),
            problem="cannot be written",
            so="the Twitch login is lost at the next stop",
        )

    async def remove(self) -> None:
        """Forget the stored token."""
        await self._change(
            self._unlink,
            problem="cannot be removed",
            so="delete it, or the login is back at the next start",
        )

    async def _change(self, act: Callable[..., None], *data: bytes, problem: str, so: str) -> None:
        def change() -> None:
            with self._changing:
                act(*data)

        try:
            await asyncio.to_thread(change)
        except OSError as error:
            raise TokenFileError(f"{self._path} {problem} ({_reason(error)}): {so}") from None

    def _replace(self, data: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Such files have mode 0600 from the first byte on.
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _unlink(self) -> None:
        self._path.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
