"""Writes `.env.example` and `understudy.example.toml` from the settings themselves.

Owns the two files' form: every key with its description and its default, commented out as
`#key = value`, prose as `# text`. A test compares the files with what this writes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from understudy.config import ALIASES, ENV_PREFIX, Settings, section_fields

ROOT = Path(__file__).resolve().parent.parent

TOML_HEAD = """\
# Every setting of Understudy with its default. Copy this file to understudy.toml and remove the #
# in front of what you change. Later sources win: this file, .env, the environment, flags.
"""
ENV_HEAD = """\
# Every setting of Understudy as an environment variable, with its default. Copy this file to .env
# and remove the # in front of what you change. Lists are separated by commas,
# tables are key=value,key=value.
"""


def toml_example() -> str:
    """The text of `understudy.example.toml`."""
    lines = [TOML_HEAD]
    for section in Settings.model_fields:
        lines += [f"[{section}] # {_about(section)}"]
        for name, field in section_fields(section).items():
            lines += [*_comment(field), f"#{name} = {_toml(_example(field))}"]
        lines.append("")
    return "\n".join(lines)


def env_example() -> str:
    """The text of `.env.example`."""
    lines = [ENV_HEAD]
    for section in Settings.model_fields:
        lines += [f"# --- {section}: {_about(section)}"]
        for name, field in section_fields(section).items():
            variable = f"{ENV_PREFIX}{section}__{name}".upper()
            lines += [*_comment(field), f"#{variable}={_env(_example(field))}"]
        lines.append("")
    lines.append("# --- other names for some of them")
    for alias, key in ALIASES.items():
        lines += [f"# the same as {key}", f"#{alias}="]
    return "\n".join(lines) + "\n"


def _about(section: str) -> str:
    """What the docstring of a section says after its name."""
    docstring = getattr(Settings.model_fields[section].annotation, "__doc__", None) or ""
    return docstring.partition(": ")[2].partition("\n")[0].rstrip(".")


def _comment(field: FieldInfo) -> Iterator[str]:
    yield f"# {field.description}"
    if field.get_default(call_default_factory=True) is None:
        yield "# (not set)"


def _example(field: FieldInfo) -> Any:
    """The default; where a key is unset by default, a value that it takes."""
    default = field.get_default(call_default_factory=True)
    if default is not None:
        return default
    return {bool: True, int: 1, float: 1.0, str: ""}[get_args(field.annotation)[0]]


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


def _toml(value: Any) -> str:
    """`value` in TOML, whose strings, lists, numbers and booleans are written as in JSON."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _env(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, list):
        return ",".join(plain)
    if isinstance(plain, dict):
        return ",".join(f"{key}={text}" for key, text in plain.items())
    return plain if isinstance(plain, str) else json.dumps(plain)


def main() -> None:
    """Write both files into the root of the repository."""
    (ROOT / "understudy.example.toml").write_text(toml_example(), encoding="utf-8")
    (ROOT / ".env.example").write_text(env_example(), encoding="utf-8")


if __name__ == "__main__":
    main()
