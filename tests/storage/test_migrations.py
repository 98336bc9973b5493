import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, inspect, make_url, text, update

from understudy.storage import migrations, schema_version
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ExperienceRow, FeedbackRow, UsageDay
from understudy.storage.tables import experience, metadata
from understudy.storage.usage import UsageDays

REOPEN = """
import asyncio, sys
from understudy.storage.engine import Database
asyncio.run(Database.open(sys.argv[1])).dialect
print("alembic" in sys.modules)
"""
FIRST_ROWS = (
    "INSERT INTO channel (id, name, created) VALUES (1, 'ada', 1)",
    "INSERT INTO viewer (id, platform, login, first_seen) VALUES (1, 'twitch', 'kim', 1)",
    "INSERT INTO chat_message (channel_id, ts, msg_id, viewer_id, text, first) "
    "VALUES (1, 1, 'm1', 1, 'hello', false)",
    "INSERT INTO experience (id, ts, prompt_text, response, status, total_ms) "
    "VALUES ('x1', 1, 'what is purple?', 'a cat', 'complete', 9)",
    "INSERT INTO feedback (id, experience_id, ts, kind, value) "
    "VALUES ('f1', 'x1', 1, 'thumbs', 1.0)",
)
"""Rows a program of version 0001 may have left."""


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


async def test_a_database_of_the_first_version_keeps_its_rows(bare_database_url: str) -> None:
    await prepare(bare_database_url, "0001", *FIRST_ROWS)
    database = await Database.open(bare_database_url)
    assert await database.check() == []
    experiences = Experiences(database)
    old = await experiences.get("x1")
    assert old is not None
    assert (old.response, old.rating, old.total_ms) == ("a cat", 1.0, 9)
    assert (old.provider, old.input_tokens, old.cost_micros) == ("", None, None)
    [archived] = await ChatArchive(database).messages("ada", None, 5)
    assert archived.message.text == "hello"

    writer = LogWriter(database)
    await writer.start()
    new = answer("x2", provider="claude", input_tokens=7, output_tokens=2, cost_micros=5)
    await writer.append(new)
    await writer.append(FeedbackRow(id="f2", experience="x2", ts=2, kind="thumbs", value=2.0))
    await writer.close()
    found = await experiences.get("x2")
    assert found is not None
    assert (found.provider, found.input_tokens, found.cached_tokens) == ("claude", 7, None)
    # The search index holds rows from before the migration and from after it.
    similar = await experiences.similar("what is purple?")
    assert [answer.experience for answer in similar] == ["x2", "x1"]
    await database.close()


async def test_undoing_the_usage_keeps_the_experiences(any_database: Database) -> None:
    def undo(connection: Connection) -> list[str]:
        command.downgrade(migrations.config(connection), "0001")
        return [column["name"] for column in inspect(connection).get_columns("experience")]

    writer = LogWriter(any_database)
    await writer.start()
    await writer.append(answer("x1", provider="claude", input_tokens=7))
    await writer.close()
    await UsageDays(any_database).add(
        [UsageDay(day="2026-11-21", channel="ada", provider="claude", model="m", replies=1)]
    )
    async with any_database.write() as connection:
        assert not {"provider", "input_tokens"} & set(await connection.run_sync(undo))
        await connection.run_sync(migrations.upgrade)
    await Experiences(any_database).add_feedback(
        FeedbackRow(id="f1", experience="x1", ts=2, kind="thumbs", value=1.0)
    )
    [similar] = await Experiences(any_database).similar("what is purple?")
    assert similar.response == "a cat"
    assert await UsageDays(any_database).load("2026-11-21") == []


def answer(number: str, **fields: Any) -> ExperienceRow:
    return ExperienceRow(
        id=number, ts=1, channel="ada", session="s", user="kim", persona="host", model="m",
        prompt_messages=[], prompt_text="what is purple?", response="a cat", status="complete",
        **fields,
    )  # fmt: skip


async def prepare(url: str, revision: str, *statements: str) -> None:
    """Make the database as it was at `revision`, with the rows of `statements`."""

    def upgrade(connection: Connection) -> None:
        command.upgrade(migrations.config(connection), revision)

    database = Database(make_url(url))
    async with database.write() as connection:
        await connection.run_sync(upgrade)
        for statement in statements:
            await connection.execute(text(statement))
    assert await database.schema_version() == revision
    await database.close()
