"""The login on the disk."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.sources.twitch.errors import TokenFileError
from understudy.sources.twitch.token_file import Token, TokenFile

TOKEN = Token("client", "access-secret", "refresh-secret", 1e9, "ana", "1001", ("user:read:chat",))


async def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "data" / "twitch.token")
    assert await file.read() is None
    await file.write(TOKEN)
    assert await file.read() == TOKEN
    await file.remove()
    await file.remove()
    assert await file.read() is None


@pytest.mark.parametrize("umask", [0o000, 0o022])
async def test_only_its_owner_can_read_it(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "twitch.token"
    path.write_text("an older one")
    path.chmod(0o644)
    before = os.umask(umask)
    try:
        await TokenFile(path).write(TOKEN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "twitch.token"
    path.mkdir()
    with pytest.raises(TokenFileError, match=r"cannot be written .*is lost at the next stop$"):
        await TokenFile(path).write(TOKEN)
    with pytest.raises(TokenFileError, match=r"cannot be removed .*back at the next start$"):
        await TokenFile(path).remove()
    with pytest.raises(TokenFileError, match=r"cannot be read .*: check who may read it$"):
        await TokenFile(path).read()
    assert os.listdir(tmp_path) == [path.name]


def test_its_secrets_are_not_shown() -> None:
    assert "secret" not in f"{TOKEN!r} {TOKEN}"


@given(st.binary(max_size=80))
def test_content_of_any_kind_is_a_token_or_told(tmp_path_factory, data: bytes) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.getbasetemp() / "any.token"
    path.write_bytes(data)
    with pytest.raises(TokenFileError, match="holds no login"):
        asyncio.run(TokenFile(path).read())
