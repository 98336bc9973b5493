"""Reads the settings from `understudy.toml`, `.env`, the environment and flags.

Owns where a value came from, so that a mistake is reported with the key, the value's type and its
source.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import msgspec
from dotenv import dotenv_values
from pydantic import ValidationError

from understudy.config.sections import Section
from understudy.config.tree import Settings

ENV_PREFIX = "UNDERSTUDY_"
ALIASES = {
    "AI_PROVIDER": "brain.provider",
    "AI_MODEL": "brain.model",
    "OPENAI_API_KEY": "brain.openai_api_key",
    "OPENAI_BASE_URL": "brain.base_url",
    "ANTHROPIC_API_KEY": "brain.anthropic_api_key",
    "HF_API_KEY": "brain.hf_api_key",
    "HF_MODEL": "brain.hf_model",
    "DB_CONNECTION_STRING": "mongo.url",
}
"""Names of the source documents that stay valid, and the keys they set."""

_MONGO_SCHEMES = ("mongodb://", "mongodb+srv://")


class SettingsError(Exception):
    """A setting is unknown or bad; the message is one sentence that names key and source."""


Values = dict[str, tuple[Any, str]]
"""Dotted key to (value, description of its source)."""


def load_settings(
    config_file: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read all sources and return the settings; raises `SettingsError` on the first mistake.

    `config_file` must exist when it is given; otherwise `understudy.toml` is read if it is there.
    `flags` maps dotted keys to values; None values are left out.
    """
    values: Values = {}
    values.update(_from_toml(config_file))
    if env_file is not None and env_file.is_file():
        values.update(_from_env(_read_env_file(env_file), f"file {env_file}"))
    values.update(_from_env(os.environ if env is None else env, "the environment"))
    for key, value in (flags or {}).items():
        if value is not None:
            values[key] = (value, "the command line")
    return _validate(values)


def _from_toml(config_file: Path | None) -> Values:
    path = config_file or Path("understudy.toml")
    if not path.is_file():
        if config_file is not None:
            raise SettingsError(f"config file {path} is not there: check --config")
        return {}
    source = f"file {path}"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source} is not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{source} cannot be read: {error.strerror}") from None
    values: Values = {}
    for section, content in document.items():
        if not isinstance(content, dict):
            raise SettingsError(f"{section} is not a section: write [{section}] (in {source})")
        _check_section(section, source)
        for key, value in cast(dict[str, Any], content).items():
            values[f"{section}.{key}"] = (value, source)
    return values


def _read_env_file(env_file: Path) -> dict[str, str]:
    try:
        return {name: value or "" for name, value in dotenv_values(env_file).items()}
    except UnicodeDecodeError:
        raise SettingsError(f"file {env_file} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"file {env_file} cannot be read: {error.strerror}") from None


def _from_env(env: Mapping[str, str], source: str) -> Values:
    values: Values = {}
    for name, key in ALIASES.items():
        if env.get(name) and _is_ours(name, env[name]):
            values[key] = (env[name], f"{name} in {source}")
    for name, value in env.items():
        if not name.startswith(ENV_PREFIX) or "__" not in name:
            continue
        section, _, key = name.removeprefix(ENV_PREFIX).partition("__")
        values[f"{section}.{key}".lower()] = (value, f"{name} in {source}")
    return values


def _is_ours(name: str, value: str) -> bool:
    """Other programs use the name `DB_CONNECTION_STRING` for databases of other kinds."""
    return name != "DB_CONNECTION_STRING" or value.startswith(_MONGO_SCHEMES)


def _validate(values: Values) -> Settings:
    tree: dict[str, dict[str, Any]] = {}
    for key, (value, source) in values.items():
        section, _, name = key.partition(".")
        _check_known(section, name, source)
        tree.setdefault(section, {})[name] = _parse_text(section, name, value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_explain(error, values)) from None


def _check_section(section: str, source: str) -> None:
    if section not in Settings.model_fields:
        known = ", ".join(Settings.model_fields)
        raise SettingsError(f"[{section}] is not a section: use one of {known} (in {source})")


def _check_known(section: str, name: str, source: str) -> None:
    _check_section(section, source)
    fields = section_fields(section)
    if name not in fields:
        known = ", ".join(fields)
        raise SettingsError(
            f"{section}.{name} is not a setting: [{section}] has {known} (in {source})"
        )


def section_fields(section: str) -> dict[str, Any]:
    """The fields of a section by name, as pydantic describes them."""
    model = cast(type[Section], type(getattr(Settings(), section)))
    return dict(model.model_fields)


def _parse_text(section: str, name: str, value: Any) -> Any:
    """Environment variables give lists and tables as JSON; also as `a,b` of texts, and `k=v`."""
    kind = section_fields(section)[name].annotation
    shape = get_origin(kind)
    if not isinstance(value, str) or shape not in (list, dict):
        return value
    if value.lstrip().startswith("[" if shape is list else "{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    if value.strip() and get_args(kind)[0] is not str:
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if shape is list:
        return parts
    pairs = [part.partition("=") for part in parts]
    return {key.strip(): text.strip() for key, _, text in pairs}


def _explain(error: ValidationError, values: Values) -> str:
    first = error.errors(include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"][:2])
    value, source = values[key]
    where = ".".join(str(part) for part in first["loc"][2:])
    what = f"{first['msg']} at {where}" if where else first["msg"]
    # The value itself stays out of the message: it may be a secret.
    return f"{key} is not valid: {what}, got {type(value).__name__} (from {source})"
