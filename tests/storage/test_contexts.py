"""What `/setcontext` keeps, in SQLite and PostgreSQL."""

import asyncio

import pytest

from understudy.storage import contexts as contexts_module
from understudy.storage.contexts import Contexts
from understudy.storage.engine import Database


async def test_a_context_is_kept_replaced_and_cleared(any_database: Database) -> None:
    contexts = Contexts(any_database)
    assert await contexts.get("kim") is None
    await contexts.set("kim", "We play chess.", 1)
    await contexts.set("lee", "We sing.", 2)
    assert await contexts.get("kim") == "We play chess."
    await contexts.set("kim", "We play go.", 3)
    assert await contexts.get("kim") == "We play go."
    await contexts.clear("kim")
    await contexts.clear("kim")
    assert await contexts.get("kim") is None
    assert await contexts.get("lee") == "We sing."


async def test_a_context_survives_a_restart(any_database_url: str) -> None:
    database = await Database.open(any_database_url)
    await Contexts(database).set("kim", "We play chess.", 1)
    await database.close()
    database = await Database.open(any_database_url)
    assert await Contexts(database).get("kim") == "We play chess."
    await database.close()


async def test_text_no_database_can_hold_is_kept_readable(any_database: Database) -> None:
    contexts = Contexts(any_database)
    await contexts.set("kim\x00", "a\x00b\ud83dc \U0001f600", 1)
    assert await contexts.get("kim\x00") == "a\ufffdb\ufffdc \U0001f600"


async def test_what_is_set_while_it_is_read_is_newer(any_database: Database) -> None:
    contexts = Contexts(any_database)
    reading = asyncio.create_task(contexts.get("kim"))
    await asyncio.sleep(0)
    await contexts.set("kim", "We play chess.", 1)
    await reading
    assert await contexts.get("kim") == "We play chess."


async def test_clients_beyond_those_at_hand_are_read_again(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts_module, "CACHED_CLIENTS", 2)
    contexts = Contexts(any_database)
    for name in ("kim", "lee", "ana"):
        await contexts.set(name, f"This is {name}.", 1)
    assert [await contexts.get(name) for name in ("kim", "lee", "ana", "bo")] == [
        "This is kim.",
        "This is lee.",
        "This is ana.",
        None,
    ]
