"""What `/setcontext` keeps, in SQLite and PostgreSQL."""

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
