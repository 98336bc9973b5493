"""`[tools]`: servers as TOML tables or as JSON in the environment, and every mistake in them."""

from pathlib import Path

import pytest

from understudy.config import Settings, SettingsError, load_settings

VARIABLE = "UNDERSTUDY_TOOLS__SERVERS"


def from_environment(**variables: str) -> Settings:
    return load_settings(env=variables, env_file=None)


def from_toml(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "understudy.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, env={}, env_file=None)


@pytest.mark.parametrize(
    "text",
    [
        '[[tools.servers]]\nname = "notes"\ncommand = "notes-mcp"\nenv = {KEY = "s3cret"}\n',
        '[tools]\nservers = [{name = "notes", command = "notes-mcp", env = {KEY = "s3cret"}}]\n',
    ],
)
def test_servers_are_tables(tmp_path: Path, text: str) -> None:
    (server,) = from_toml(tmp_path, text).tools.servers
    assert (server.name, server.command) == ("notes", "notes-mcp")
    assert (server.role, server.confirm, server.allow) == ("streamer", "always", [])
    assert "s3cret" not in repr(server)
    assert server.env["KEY"].get_secret_value() == "s3cret"


def test_servers_are_json_in_the_environment() -> None:
    settings = from_environment(
        **{VARIABLE: '[{"name": "web", "url": "http://127.0.0.1:9/mcp", "role": "everyone"}]'}
    )
    (server,) = settings.tools.servers
    assert (server.url, server.role) == ("http://127.0.0.1:9/mcp", "everyone")
    assert from_environment(**{VARIABLE: ""}).tools.servers == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("notes", "valid list"),
        ("[", "valid list"),
        ('[{"name": "notes"}]', "needs either a command or a url at 0"),
        ('[{"name": "n", "command": "a", "url": "http://b"}]', "either a command or a url at 0"),
        ('[{"name": "n", "url": "ftp://s3cret"}]', "http:// or https:// at 0"),
        ('[{"name": "a b", "url": "http://b"}]', "at 0.name"),
        ('[{"name": "a__b", "url": "http://b"}]', "at 0.name"),
        ('[{"name": "n", "url": "http://b", "token": "s3cret"}]', "at 0.token"),
        ('[{"name": "n", "url": "http://b", "role": "viewer"}]', "at 0.role"),
        ('[{"name": "n", "url": "http://b"}, {"name": "n", "command": "b"}]', "the same name"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_its_value(value: str, words: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_environment(**{VARIABLE: value})
    message = str(raised.value)
    assert message.startswith("tools.servers is not valid: ")
    assert words in message
    assert message.endswith(f"(from {VARIABLE} in the environment)")
    assert "s3cret" not in message


def test_a_time_zone_is_one_that_exists() -> None:
    assert from_environment(UNDERSTUDY_TOOLS__TIME_ZONE="Asia/Tokyo").tools.time_zone == (
        "Asia/Tokyo"
    )
    for wrong in ("Mars/Olympus", "../../etc/passwd", "Europe", "\0"):
        with pytest.raises(SettingsError, match="no such time zone"):
            from_environment(UNDERSTUDY_TOOLS__TIME_ZONE=wrong)
