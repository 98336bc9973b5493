import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, inspect, text, update

from understudy.storage import migrations, schema_version
from understudy.storage.engine import Database
from understudy.storage.tables import experience, metadata

REOPEN = """
import asyncio, sys
from understudy.storage.engine import Database
asyncio.run(Database.open(sys.argv[1])).dialect
print("alembic" in sys.modules)
"""


def test_the_head_constant_is_the_newest_script() -> None:
    scripts = ScriptDirectory.from_config(migrations.config())
    assert scripts.get_heads() == [schema_version.HEAD]


async def test_migrating_gives_exactly_the_tables_of_the_program(any_database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"include_name": lambda name, _kind, _parents: not is_search(name)}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    def is_search(name: str | None) -> bool:
        return (name or "").startswith("experience_fts")

    async with any_database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_scripts_can_be_undone_and_done_again(any_database: Database) -> None:
    def down_and_up(connection: Connection) -> list[str]:
        command.downgrade(migrations.config(connection), "base")
        left = inspect(connection).get_table_names()
        migrations.upgrade(connection)
        return left

    async with any_database.write() as connection:
        assert await connection.run_sync(down_and_up) == ["alembic_version"]
    assert await any_database.schema_version() == schema_version.HEAD


async def test_a_failed_migration_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade_and_fail(connection: Connection) -> None:
        upgrade(connection)
        raise RuntimeError("power cut")

    upgrade = migrations.upgrade
    url = f"sqlite+aiosqlite:///{tmp_path}/a.db"
    monkeypatch.setattr(migrations, "upgrade", upgrade_and_fail)
    with pytest.raises(RuntimeError, match="power cut"):
        await Database.open(url)
    monkeypatch.undo()
    database = await Database.open(url)
    assert await database.check() == []
    await database.close()


def test_a_current_database_opens_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/a.db"
    for expected in ("True", "False"):
        found = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", REOPEN, url],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert found.stdout.strip() == expected


async def test_the_search_table_follows_the_experiences(database: Database) -> None:
    async def found(word: str) -> list[int]:
        statement = text("SELECT rowid FROM experience_fts WHERE experience_fts MATCH :word")
        async with database.read() as connection:
            return list((await connection.execute(statement, {"word": word})).scalars())

    async with database.write() as connection:
        row = {"id": "a", "ts": 1, "prompt_text": "a purple cat", "response": "", "status": ""}
        await connection.execute(insert(experience).values(**row))
    assert await found("purple") == [1]
    async with database.write() as connection:
        await connection.execute(update(experience).values(prompt_text="a green cat"))
    assert (await found("purple"), await found("green")) == ([], [1])
    async with database.write() as connection:
        await connection.execute(delete(experience))
        await connection.execute(
            text("INSERT INTO experience_fts(experience_fts) VALUES ('integrity-check')")
        )
    assert await found("cat") == []
