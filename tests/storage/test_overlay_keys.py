"""Keys of overlays, in SQLite and PostgreSQL."""

from sqlalchemy import select

from understudy.storage.engine import Database
from understudy.storage.overlay_keys import OverlayKeys
from understudy.storage.tables import overlay_key


async def test_a_key_opens_its_own_overlay_only(any_database: Database) -> None:
    keys = OverlayKeys(any_database)
    _, key = await keys.create("captions", "OBS at home")
    assert await keys.verify("captions", key)
    assert not await keys.verify("avatar", key)


async def test_anything_else_opens_nothing(any_database: Database) -> None:
    keys = OverlayKeys(any_database)
    _, key = await keys.create("captions")
    assert not await keys.verify("captions", key[:-1])
    for wrong in ["", "x" * 10_000, "\x00", "\ud800", "' OR 1=1 --"]:
        assert not await keys.verify("captions", wrong)
        assert not await keys.verify(wrong, key)


async def test_a_revoked_key_opens_nothing_and_stays_revoked(any_database: Database) -> None:
    keys = OverlayKeys(any_database)
    first, key = await keys.create("captions")
    _, other = await keys.create("captions")
    assert await keys.revoke(first)
    assert not await keys.revoke(first)
    assert not await keys.revoke("ok_unknown\x00")
    assert not await keys.verify("captions", key)
    assert await keys.verify("captions", other)


async def test_the_list_shows_all_keys_but_not_the_keys(any_database: Database) -> None:
    keys = OverlayKeys(any_database)
    first, _ = await keys.create("captions", "home")
    second, _ = await keys.create("avatar", "travel")
    await keys.revoke(first)
    listed = {key.id: key for key in await keys.list()}
    assert {key.overlay: key.label for key in listed.values()} == {
        "captions": "home",
        "avatar": "travel",
    }
    assert listed[first].revoked is not None
    assert listed[second].revoked is None


async def test_the_key_itself_is_not_in_the_database(any_database: Database) -> None:
    _, key = await OverlayKeys(any_database).create("captions")
    async with any_database.read() as connection:
        row = (await connection.execute(select(overlay_key))).one()
    assert key not in map(str, row)
    assert len(row.key_hash) == 64
    assert len(key) >= 43  # 32 bytes in base64
