"""What only PostgreSQL does: row locks, its own search index, a server that can be away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from understudy.storage.channels import Channels
from understudy.storage.engine import Database
from understudy.storage.errors import LogUnavailable
from understudy.storage.experiences import search_statement
from understudy.storage.jobs import Jobs
from understudy.storage.tables import channel, job


@pytest.fixture
async def postgres(fresh_postgres_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(fresh_postgres_url)
    yield opened
    await opened.close()


async def test_the_schema_is_current_and_sound(postgres: Database, fresh_postgres_url: str) -> None:
    assert postgres.dialect == "postgresql"
    assert await postgres.check() == []
    # Already up to date: opening again changes nothing and needs no migration.
    again = await Database.open(fresh_postgres_url, migrate=False)
    assert await again.schema_version() == await postgres.schema_version()
    await again.close()


async def test_a_failed_write_leaves_nothing_behind(postgres: Database) -> None:
    await Channels(postgres).get_or_create("ada")

    async def write_twice() -> None:
        async with postgres.write() as connection:
            for _ in range(2):
                await connection.execute(channel.insert().values(name="bob", created=1))

    with pytest.raises(IntegrityError):
        await write_twice()
    assert await Channels(postgres).names() == ["ada"]


async def test_one_channel_made_by_many_at_once_is_one_row(fresh_postgres_url: str) -> None:
    databases = [await Database.open(fresh_postgres_url) for _ in range(2)]
    made = await asyncio.gather(
        *[Channels(databases[n % 2]).get_or_create("ada") for n in range(8)]
    )
    for database in databases:
        await database.close()
    assert len(set(made)) == 1


async def test_a_claimer_passes_over_a_job_another_is_claiming(postgres: Database) -> None:
    jobs = Jobs(postgres)
    first = await jobs.enqueue("train", now=1)
    second = await jobs.enqueue("train", now=2)
    async with postgres.write() as connection:
        locked = select(job.c.id).where(job.c.id == first.id).with_for_update()
        assert (await connection.execute(locked)).scalar_one() == first.id
        lease = await jobs.claim("w1")
        assert lease is not None
        assert lease.id == second.id
        assert await jobs.claim("w1") is None


async def test_the_search_goes_through_its_index(postgres: Database) -> None:
    sql = search_statement("postgresql", ["same", "words"]).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    async with postgres.read() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = await connection.exec_driver_sql(f"EXPLAIN {sql}")
        lines = "\n".join(plan.scalars())
    assert "experience_fts" in lines


async def test_a_server_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="cannot be reached"):
        await Database.open(f"postgresql+asyncpg://u:secret@/db?host={tmp_path}")
