import msgspec

from tests.cli.conftest import Understudy, execute, leave_loose_ends, one_line
from understudy.config import Settings
from understudy.storage.schema_version import HEAD


def test_upgrade_makes_a_database_that_is_well(understudy: Understudy, settings: Settings) -> None:
    made = understudy("db", "upgrade")
    assert made.stdout == f"the database is up to date (schema {HEAD})\n"
    assert (settings.data_dir / "understudy.db").is_file()
    assert understudy("db", "upgrade", "--json").stdout == f'{{\n  "schema": "{HEAD}"\n}}\n'
    checked = understudy("db", "check")
    assert (checked.exit_code, checked.stdout) == (0, "the database is well\n")
    assert msgspec.json.decode(understudy("db", "check", "--json").stdout) == {"problems": []}


def test_check_makes_nothing(understudy: Understudy, settings: Settings) -> None:
    assert "there is no database at" in one_line(understudy("db", "check"))
    assert not settings.data_dir.exists()


def test_a_newer_database_is_left_alone(understudy: Understudy, newer_database: Settings) -> None:
    for command in ("check", "upgrade"):
        assert "newer" in one_line(understudy("db", command))


def test_an_old_schema_is_to_be_upgraded(understudy: Understudy, settings: Settings) -> None:
    execute(settings, "DROP TABLE alembic_version")
    assert "run understudy db upgrade" in one_line(understudy("db", "check"))


def test_damage_is_found(understudy: Understudy, settings: Settings) -> None:
    understudy("db", "upgrade")
    path = settings.data_dir / "understudy.db"
    path.write_bytes(b"this is no database" * 500)
    assert "the file is not a database" in one_line(understudy("db", "check"))


def test_rows_that_point_at_nothing_are_found(understudy: Understudy, settings: Settings) -> None:
    leave_loose_ends(settings)
    found = understudy("db", "check", "--json")
    assert found.exit_code == 1
    problems = msgspec.json.decode(found.stdout)["problems"]
    assert problems == ["row 1 of chat_message points at nothing"]
    assert found.stderr == "understudy: row 1 of chat_message points at nothing\n"
