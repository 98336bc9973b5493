import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from understudy.config import (
    AuthSettings,
    PersonaSettings,
    ServerSettings,
    Settings,
    SettingsError,
    load_settings,
)

UNREADABLE = Path("/proc/self/mem")
"""A regular file that gives an I/O error even to root."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def error_of(**sources: Any) -> str:
    """The one sentence that `load_settings` fails with."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**sources)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- where values come from


def test_defaults_without_any_source(folder: Path) -> None:
    settings = load_settings(env={})
    assert settings == Settings()
    assert settings.server.port == 8000
    assert settings.data_dir == folder / "understudy-data"
    assert settings.database_url == f"sqlite+aiosqlite:///{folder}/understudy-data/understudy.db"


def test_later_sources_win(folder: Path) -> None:
    config = write(folder / "understudy.toml", "[server]\nport = 1\n")
    env_file = folder / ".env"
    assert load_settings(env={}).server.port == 1
    write(env_file, "UNDERSTUDY_SERVER__PORT=2\n")
    assert load_settings(env={}).server.port == 2
    env = {"UNDERSTUDY_SERVER__PORT": "3"}
    assert load_settings(env=env).server.port == 3
    assert load_settings(env=env, flags={"server.port": 4}).server.port == 4
    assert load_settings(config, env={}, env_file=None).server.port == 1


def test_sources_add_up_within_a_section(folder: Path) -> None:
    write(folder / "understudy.toml", '[server]\nport = 1\nhost = "::1"\n[brain]\nseed = 7\n')
    settings = load_settings(env={"UNDERSTUDY_SERVER__PORT": "2"}, flags={"brain.model": "m"})
    assert (settings.server.host, settings.server.port) == ("::1", 2)
    assert (settings.brain.seed, settings.brain.model) == (7, "m")


def test_the_process_environment_is_read_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_PERSONA__NAME", "Echo")
    assert load_settings().persona.name == "Echo"


def test_flags_that_were_not_given_change_nothing(folder: Path) -> None:
    env = {"UNDERSTUDY_SERVER__PORT": "3"}
    assert load_settings(env=env, flags={"server.port": None}).server.port == 3


def test_a_named_config_file_is_read_instead_of_the_usual_one(folder: Path) -> None:
    write(folder / "understudy.toml", "[server]\nport = 1\n")
    other = write(folder / "other.toml", "[brain]\nseed = 5\n")
    settings = load_settings(other, env={})
    assert (settings.server.port, settings.brain.seed) == (8000, 5)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("AI_PROVIDER", lambda settings: settings.brain.provider),
        ("AI_MODEL", lambda settings: settings.brain.model),
    ],
)
def test_names_of_the_source_documents_work(
    folder: Path, name: str, read: Callable[[Settings], str]
) -> None:
    assert read(load_settings(env={name: "scripted"})) == "scripted"
    assert read(load_settings(env={name: ""})) == read(Settings())
    own_name = f"UNDERSTUDY_BRAIN__{name.removeprefix('AI_')}"
    both = {name: "alias", own_name: "own"}
    assert read(load_settings(env=both)) == "own"
    assert read(load_settings(env=dict(reversed(both.items())))) == "own"


def test_other_variables_are_left_alone(folder: Path) -> None:
    env = {"UNDERSTUDY_SKIP_UI": "1", "PATH": "/bin", "SERVER__PORT": "9"}
    assert load_settings(env=env) == Settings()


# --- lists


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("a", ["a"]),
        (" a , b,, ", ["a", "b"]),
        ('["a", "b, c"]', ["a", "b, c"]),
        (" []", []),
    ],
)
def test_lists_in_the_environment(folder: Path, text: str, names: list[str]) -> None:
    assert load_settings(env={"UNDERSTUDY_PERSONA__ALIASES": text}).persona.aliases == names


@pytest.mark.parametrize("text", ['["a"', "[1]", "[{}]"])
def test_a_bad_list_is_named(folder: Path, text: str) -> None:
    message = error_of(env={"UNDERSTUDY_PERSONA__ALIASES": text})
    assert message.startswith("persona.aliases is not valid: ")
    assert "UNDERSTUDY_PERSONA__ALIASES in the environment" in message


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]))))
def test_any_list_of_plain_words_survives_the_environment(names: list[str]) -> None:
    plain = [name for name in (part.replace(",", "").lstrip("[") for part in names) if name]
    env = {"UNDERSTUDY_PERSONA__ALIASES": ",".join(plain)}
    assert load_settings(env=env, env_file=None).persona.aliases == plain


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("1=general, 22 = clips", {"1": "general", "22": "clips"}),
        ('{"1": "general"}', {"1": "general"}),
        ("", {}),
    ],
)
def test_tables_in_the_environment(folder: Path, text: str, channels: dict[str, str]) -> None:
    assert load_settings(env={"UNDERSTUDY_DISCORD__CHANNELS": text}).discord.channels == channels


@pytest.mark.parametrize("text", ['{"1"', "general", "[1]", '{"1": 2}'])
def test_a_bad_table_is_named(folder: Path, text: str) -> None:
    message = error_of(env={"UNDERSTUDY_DISCORD__CHANNELS": text})
    assert message.startswith("discord.channels is not valid: ")


# --- mistakes are one sentence that names the key, the value's type and the source


def test_an_unknown_section_is_named_with_the_known_ones(folder: Path) -> None:
    message = error_of(env={"UNDERSTUDY_SERVR__PORT": "1"})
    known = ", ".join(Settings.model_fields)
    source = "UNDERSTUDY_SERVR__PORT in the environment"
    assert message == f"[servr] is not a section: use one of {known} (in {source})"


def test_an_unknown_section_is_named_even_when_it_is_empty(folder: Path) -> None:
    write(folder / "understudy.toml", "[servr]\n")
    assert error_of(env={}).startswith("[servr] is not a section: use one of server, ")


def test_an_unknown_key_is_named_with_the_known_ones(folder: Path) -> None:
    write(folder / "understudy.toml", '[bus]\nurl = ""\nuri = ""\n')
    assert error_of(env={}) == ("bus.uri is not a setting: [bus] has url (in file understudy.toml)")


def test_a_key_outside_of_any_section_is_named(folder: Path) -> None:
    write(folder / "understudy.toml", "port = 1\n")
    assert error_of(env={}) == ("port is not a section: write [port] (in file understudy.toml)")


def test_an_unknown_flag_is_named(folder: Path) -> None:
    assert error_of(env={}, flags={"server.prot": 1}).endswith("(in the command line)")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (
            {"env": {"UNDERSTUDY_SERVER__PORT": "eight"}},
            "server.port is not valid: Input should be a valid integer, unable to parse string as "
            "an integer, got str (from UNDERSTUDY_SERVER__PORT in the environment)",
        ),
        (
            {"env": {}, "flags": {"server.port": 70_000}},
            "server.port is not valid: Input should be less than or equal to 65535, got int "
            "(from the command line)",
        ),
        (
            {"env": {"AI_MODEL": "m"}, "flags": {"brain.model": 5}},
            "brain.model is not valid: Input should be a valid string, got int "
            "(from the command line)",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_type_and_source(
    folder: Path, sources: dict[str, object], expected: str
) -> None:
    assert error_of(**sources) == expected


def test_a_bad_value_in_a_file_names_the_file(folder: Path) -> None:
    config = write(folder / "my.toml", '[limits]\nstreams = "many"\n')
    message = error_of(config_file=config, env={})
    assert message.startswith("limits.streams is not valid: ")
    assert message.endswith(f"got str (from file {config})")
    env_file = write(folder / "my.env", "UNDERSTUDY_LIMITS__STREAMS=many\n")
    message = error_of(env={}, env_file=env_file)
    assert message.endswith(f"got str (from UNDERSTUDY_LIMITS__STREAMS in file {env_file})")


def test_a_missing_config_file_is_an_error_only_when_it_was_asked_for(folder: Path) -> None:
    assert load_settings(env={}) == Settings()
    missing = folder / "none.toml"
    assert error_of(config_file=missing, env={}) == (
        f"config file {missing} is not there: check --config"
    )


@pytest.mark.parametrize("content", [b"[server\n", b"[server]\nport = \n", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_named(folder: Path, content: bytes) -> None:
    (folder / "understudy.toml").write_bytes(content)
    assert error_of(env={}).startswith("file understudy.toml is not valid TOML: ")


def test_an_env_file_that_is_not_text_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes(b"UNDERSTUDY_PERSONA__NAME=\xff\n")
    assert error_of(env={}) == "file .env is not UTF-8: save it as UTF-8"


@pytest.mark.skipif(not UNREADABLE.is_file(), reason="needs Linux' /proc")
@pytest.mark.parametrize("name", ["understudy.toml", ".env"])
def test_a_file_that_cannot_be_read_is_named(folder: Path, name: str) -> None:
    (folder / name).symlink_to(UNREADABLE)
    assert error_of(env={}) == f"file {name} cannot be read: Input/output error"


# --- secrets


SECRET = "do-not-print-this-secret-anywhere-please"


def test_a_secret_never_shows(folder: Path) -> None:
    settings = load_settings(env={"UNDERSTUDY_AUTH__SECRET": SECRET})
    assert settings.auth.secret.get_secret_value() == SECRET
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in text


@pytest.mark.parametrize("value", [[SECRET], {"k": SECRET}])
def test_a_bad_secret_is_neither_in_the_message_nor_in_the_traceback(
    folder: Path, value: object
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env={}, flags={"auth.secret": value})
    assert str(caught.value).startswith("auth.secret is not valid: ")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("key", ["auth.required", "server.port", "server.host.x", "auht.secret"])
def test_a_value_under_the_wrong_key_is_not_printed(folder: Path, key: str) -> None:
    variable = f"UNDERSTUDY_{key.replace('.', '__')}".upper()
    assert SECRET not in error_of(env={variable: SECRET})
    write(folder / ".env", f"{variable}={SECRET}\n")
    assert SECRET not in error_of(env={})


# --- what follows from the settings


@pytest.mark.parametrize(
    ("host", "required", "expected"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("192.168.1.4", None, True),
        ("127.0.0.1", True, True),
        ("0.0.0.0", False, False),
    ],
)
def test_tokens_are_asked_for_beyond_loopback(
    host: str, required: bool | None, expected: bool
) -> None:
    settings = Settings(server=ServerSettings(host=host), auth=AuthSettings(required=required))
    assert settings.auth_required is expected
    assert settings.listens_on_loopback is (host in {"127.0.0.1", "localhost", "::1"})


def test_the_data_folder_is_absolute_and_knows_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert load_settings(env={}, flags={"server.data_dir": "~/u"}).data_dir == folder / "u"
    assert load_settings(env={}, flags={"server.data_dir": "u"}).data_dir == folder / "u"


def test_a_database_address_of_ones_own_is_kept(folder: Path) -> None:
    url = "postgresql+asyncpg://me@localhost/db"
    assert load_settings(env={"UNDERSTUDY_STORAGE__URL": url}).database_url == url


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1
    assert settings.server.port == 8000


def test_the_defaults_are_valid_values() -> None:
    settings = Settings()
    assert Settings.model_validate(settings.model_dump()) == settings
    assert PersonaSettings() == settings.persona
