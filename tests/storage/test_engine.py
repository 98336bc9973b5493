import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from understudy.storage import sqlite
from understudy.storage.engine import Database
from understudy.storage.errors import DatabaseTooNew, LogUnavailable, StorageError
from understudy.storage.schema_version import HEAD
from understudy.storage.tables import channel

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    command = [sys.executable, "-c", LOCKER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRAGMAS", "READ_PRAGMAS"):
        pragmas = getattr(sqlite, name) + "PRAGMA busy_timeout = 20;"
        monkeypatch.setattr(sqlite, name, pragmas)


def url_of(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(select(channel.c.name))).scalars())


async def test_opening_makes_a_private_folder_and_file(tmp_path: Path) -> None:
    database = await Database.open(url_of(tmp_path / "data" / "understudy.db"))
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "data").iterdir()}
    assert modes["understudy.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert await database.schema_version() == HEAD
    await database.close()


async def test_every_connection_is_durable_and_forgets_what_is_erased(database: Database) -> None:
    wanted = {"synchronous": 2, "journal_mode": "wal", "secure_delete": 1, "foreign_keys": 1}
    for transaction in (database.read, database.write):
        async with transaction() as connection:
            for pragma, value in wanted.items():
                assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar() == value


async def test_a_read_connection_cannot_write(database: Database) -> None:
    with pytest.raises(LogUnavailable, match="read-only"):
        async with database.read() as connection:
            await connection.execute(insert(channel).values(name="a", created=1))


async def test_write_commits_at_the_end_and_rolls_back_on_an_error(any_database: Database) -> None:
    async with any_database.write() as connection:
        await connection.execute(insert(channel).values(name="kept", created=1))

    async def give_up() -> None:
        async with any_database.write() as connection:
            await connection.execute(insert(channel).values(name="dropped", created=1))
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await give_up()
    assert await names(any_database) == ["kept"]


async def test_errors_of_a_statement_come_through(any_database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with any_database.write() as connection:
            await connection.execute(insert(channel).values(name=None, created=1))
    with pytest.raises(DBAPIError):
        async with any_database.read() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere"))


async def test_writers_of_one_process_take_turns(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(insert(channel).values(name="a", created=0))

    async def increment() -> None:
        async with database.write() as connection:
            created = (await connection.execute(select(channel.c.created))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(update(channel).values(created=created + 1))

    await asyncio.gather(*(increment() for _ in range(20)))
    async with database.read() as connection:
        assert (await connection.execute(select(channel.c.created))).scalar_one() == 20


async def test_a_reader_sees_one_snapshot_while_others_write(database: Database) -> None:
    async with database.read() as connection:
        assert (await connection.execute(select(channel.c.name))).all() == []
        async with database.write() as writer:
            await writer.execute(insert(channel).values(name="later", created=1))
        assert (await connection.execute(select(channel.c.name))).all() == []
    assert await names(database) == ["later"]


async def test_closing_leaves_no_write_ahead_log(tmp_path: Path) -> None:
    database = await Database.open(url_of(tmp_path / "a.db"))
    async with database.write() as connection:
        await connection.execute(insert(channel).values(name="a", created=1))
    await database.close()
    assert os.listdir(tmp_path) == ["a.db"]


@pytest.mark.usefixtures("impatient")
async def test_a_checkpoint_that_a_reader_prevents_says_so_and_closing_goes_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    database = await Database.open(url_of(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM channel").fetchall()
        async with database.write() as connection:
            await connection.execute(insert(channel).values(name="a", created=1))
        with pytest.raises(LogUnavailable, match="being read"):
            await database.checkpoint()
        await database.close()
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT name FROM channel").fetchall() == [("a",)]


async def test_a_newer_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    url = url_of(tmp_path / "a.db")
    await (await Database.open(url)).close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseTooNew, match=r"at version 9999.*newer Understudy"):
        await Database.open(url)
    with pytest.raises(DatabaseTooNew):
        await Database.open(url, migrate=False)


async def test_without_migration_an_empty_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"empty.*run understudy db upgrade"):
        await Database.open(url_of(tmp_path / "a.db"), migrate=False)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"certainly not a database " * 100)
    with pytest.raises(StorageError, match="not a database"):
        await Database.open(url_of(path))


async def test_check_finds_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = await Database.open(url_of(path))
    async with database.write() as connection:
        await connection.execute(
            insert(channel), [{"name": f"channel {n}", "created": n} for n in range(2_000)]
        )
    assert await database.check() == []
    await database.close()
    with closing(sqlite3.connect(path)) as raw:
        statement = "SELECT rootpage FROM sqlite_master WHERE name = 'channel'"
        page = raw.execute(statement).fetchone()[0]
    with path.open("r+b") as file:
        file.seek(4096 * (page - 1) + 8)
        file.write(b"\xff" * 64)
    damaged = await Database.open(url_of(path))
    problems = await damaged.check()
    assert any("damaged" in problem for problem in problems)
    await damaged.close()


async def test_check_finds_rows_that_point_at_nothing(database: Database) -> None:
    assert database.path is not None
    with closing(sqlite3.connect(database.path)) as raw, raw:
        raw.execute(
            "INSERT INTO moderation (channel_id, ts, msg_id, kind) VALUES (99, 1, 'a', 'ban')"
        )
    assert await database.check() == ["row 1 of moderation points at nothing"]


@pytest.mark.usefixtures("impatient")
async def test_a_lock_of_another_process_is_waited_for_and_then_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = await Database.open(url_of(path))
    with locked_by_another_process(path):
        with pytest.raises(LogUnavailable, match="locked by another process"):
            async with database.write():
                pytest.fail("the lock was given twice")
        assert await names(database) == []
    async with database.write() as connection:
        await connection.execute(insert(channel).values(name="a", created=1))
    await database.close()


async def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LogUnavailable, match=r"cannot be written.*choose another folder"):
        await Database.open(url_of(tmp_path / "file" / "a.db"))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("not a url", "not a database URL"),
        ("sqlite+aiosqlite://", "names no file"),
        ("mysql+aiomysql://localhost/a", "cannot start with mysql"),
        ("sqlite:///a.db", "cannot start with sqlite"),
    ],
)
async def test_a_bad_url_is_explained(url: str, sentence: str) -> None:
    with pytest.raises(StorageError, match=sentence):
        await Database.open(url)


async def test_a_postgresql_that_is_not_there_is_explained(unused_tcp_port: int) -> None:
    with pytest.raises(LogUnavailable, match="cannot be reached"):
        await Database.open(f"postgresql+asyncpg://u:secret@127.0.0.1:{unused_tcp_port}/a")


async def test_a_missing_postgresql_database_is_explained(postgres_url: str) -> None:
    with pytest.raises(LogUnavailable, match='"nowhere" does not exist'):
        await Database.open(
            make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False)
        )


async def test_the_url_hides_its_password(postgres_url: str) -> None:
    url = make_url(postgres_url).set(password="secret").render_as_string(hide_password=False)
    database = await Database.open(url)
    assert "secret" not in database.url
    assert database.dialect == "postgresql"
    assert database.path is None
    await database.checkpoint()
    assert await database.check() == []
    await database.close()


async def test_opening_leaves_logging_alone(tmp_path: Path) -> None:
    before = (logging.root.level, list(logging.root.handlers), logging.getLogger("x").disabled)
    await (await Database.open(url_of(tmp_path / "a.db"))).close()
    assert before == (logging.root.level, list(logging.root.handlers), False)
