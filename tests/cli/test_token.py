import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import typer

from tests.cli.conftest import Understudy, one_line, opened, usage_error
from understudy.cli.token import parse_ttl
from understudy.config import Settings
from understudy.server.auth import load_secret, verify_token
from understudy.storage.overlay_keys import OverlayKeys


@pytest.mark.parametrize("role", ["owner", "moderator", "viewer"])
def test_a_token_stands_for_user_and_role(
    understudy: Understudy, settings: Settings, role: str
) -> None:
    made = understudy("token", "--user", "ada", "--role", role)
    assert made.exit_code == 0
    caller = verify_token(load_secret(settings), made.stdout.strip())
    assert (caller.user, caller.role) == ("ada", role)


def test_json_tells_whom_the_token_stands_for(understudy: Understudy, settings: Settings) -> None:
    answer = msgspec.json.decode(understudy("token", "--user", "ada", "--json").stdout)
    assert (answer["user"], answer["role"]) == ("ada", "viewer")
    assert verify_token(load_secret(settings), answer["token"]).user == "ada"


def test_the_secret_is_made_once_and_only_its_owner_reads_it(
    understudy: Understudy, settings: Settings
) -> None:
    understudy("token", "--user", "ada")
    secret = settings.data_dir / "auth.secret"
    before = secret.read_text()
    understudy("token", "--user", "bob")
    assert secret.read_text() == before
    assert secret.stat().st_mode & 0o077 == 0


def test_an_overlay_key_opens_overlays_until_it_is_revoked(
    understudy: Understudy, settings: Settings
) -> None:
    plain = understudy("token", "--user", "obs", "--role", "overlay").stdout.strip()
    answer = msgspec.json.decode(
        understudy("token", "--user", "obs", "--role", "overlay", "--json").stdout
    )

    async def check() -> list[bool]:
        async with opened(settings) as database:
            keys = OverlayKeys(database)
            before = [await keys.verify("chat", key) for key in (plain, answer["token"])]
            await keys.revoke(answer["id"])
            return [*before, await keys.verify("chat", answer["token"])]

    assert asyncio.run(check()) == [True, True, False]


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("12h", 43_200), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_ttl(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "1y", "30d\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a duration"):
        parse_ttl(text)


def test_ten_years_are_the_most() -> None:
    assert parse_ttl("3650d") == timedelta(days=3650)
    for text in ("3651d", "999999999w"):
        with pytest.raises(typer.BadParameter, match="use at most 3650d"):
            parse_ttl(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "ada", "--role", "king"], "use one of owner, moderator, viewer, overlay"),
        (["--user", "ada", "--ttl", "soon"], "'soon' is not a duration"),
        (["--user", " "], "say whom the token stands for"),
        ([], "Missing option '--user'"),
    ],
)
def test_wrong_usage(understudy: Understudy, arguments: list[str], said: str) -> None:
    assert said in usage_error(understudy("token", *arguments))


def test_a_short_secret_is_refused(understudy: Understudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_AUTH__SECRET", "short")
    assert "auth.secret is too short" in one_line(understudy("token", "--user", "ada"))


def test_a_data_directory_that_is_a_file_is_one_sentence(
    understudy: Understudy, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    refused = understudy("token", "--user", "ada", "--data", tmp_path / "file")
    assert "choose another folder with --data" in one_line(refused)
    key = understudy("token", "--user", "ada", "--role", "overlay", "--data", tmp_path / "file")
    assert "cannot be written" in one_line(key)
