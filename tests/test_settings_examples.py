import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from understudy.config import ALIASES, Settings, load_settings, section_fields

ROOT = Path(__file__).resolve().parent.parent
ENV_EXAMPLE = ROOT / ".env.example"
TOML_EXAMPLE = ROOT / "understudy.example.toml"
UNSET = "# (not set)\n"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "scripts" / "write_settings_examples.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_key() -> set[str]:
    return {
        f"{section}.{name}" for section in Settings.model_fields for name in section_fields(section)
    }


def uncommented(text: str) -> str:
    """The example with every setting switched on, but for those that are unset by default."""
    text = re.sub(rf"{re.escape(UNSET)}#.*\n", "", text)
    return re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)


def test_the_files_are_what_the_settings_say(generator: ModuleType) -> None:
    stale = "run `make settings`"
    assert generator.toml_example() == TOML_EXAMPLE.read_text(encoding="utf-8"), stale
    assert generator.env_example() == ENV_EXAMPLE.read_text(encoding="utf-8"), stale


def test_the_files_set_nothing_as_they_stand(tmp_path: Path) -> None:
    assert load_settings(TOML_EXAMPLE, env={}, env_file=ENV_EXAMPLE) == Settings()


def test_the_toml_file_states_the_true_defaults(tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text(uncommented(TOML_EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    assert load_settings(config, env={}, env_file=None) == Settings()


def test_the_env_file_states_the_true_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = tmp_path / ".env"
    env.write_text(uncommented(ENV_EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    assert load_settings(env={}, env_file=env) == Settings()


def test_both_files_list_every_key() -> None:
    env_names = set(
        re.findall(r"^#([A-Z_]+)=", ENV_EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    expected = {f"UNDERSTUDY_{key.replace('.', '__')}".upper() for key in every_key()}
    assert env_names == expected | set(ALIASES)
    found: set[str] = set()
    section = ""
    for line in TOML_EXAMPLE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"\[(\w+)\]", line):
            section = heading[1]
        elif key := re.match(r"#(\w+) = ", line):
            found.add(f"{section}.{key[1]}")
    assert found == every_key()


def test_every_key_is_described() -> None:
    for section in Settings.model_fields:
        for name, field in section_fields(section).items():
            assert field.description, f"{section}.{name} has no description"
