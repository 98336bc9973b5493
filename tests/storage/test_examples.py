"""Examples and the evidence against exchanges, in SQLite and PostgreSQL."""

import pytest
from sqlalchemy import insert

from tests.storage.conftest import Log
from understudy.events import ChatMessage, Moderation
from understudy.storage import examples as module
from understudy.storage.engine import Database
from understudy.storage.evidence import Busy, Evidence, Tombstone, viewer_hash
from understudy.storage.examples import ExampleRow, Examples, Split
from understudy.storage.rows import ChatRow, ModerationRow
from understudy.storage.tables import erasure


def example(id: str, group: str = "g", split: Split = "train", **fields: object) -> ExampleRow:
    given: dict = {"channel": "alice", "session": "s", "ts": 5, **fields}
    return ExampleRow(id=id, duplicates=group, split=split, **given)


async def test_the_first_row_of_an_id_stands(any_database: Database) -> None:
    examples = Examples(any_database)
    await examples.add([])
    await examples.add([example("a"), example("b", "h", "val")])
    await examples.add([example("a", "other", "val"), example("c")])
    known = await examples.get(["a", "b", "nobody", "nul\x00"])
    assert known == {"a": example("a"), "b": example("b", "h", "val")}
    assert await examples.get([]) == {}


async def test_a_person_decides(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = Examples(any_database)
    monkeypatch.setattr(module, "_IDS", 2)
    await examples.add([example("a"), example("b"), example("d"), example("e")])
    assert await examples.judge(["a", "d", "nul\x00", "e"], "rejected", "dull") == 3
    assert await examples.judge(["c"], "approved") == 0
    assert await examples.judge([], "approved") == 0
    known = await examples.get(["a", "b", "d", "e"])
    assert {id for id, row in known.items() if row.state == "rejected"} == {"a", "d", "e"}
    assert (known["a"].state, known["a"].reason) == ("rejected", "dull")
    assert known["a"].split == "train"
    assert known["b"] == example("b")


async def test_groups_are_read_a_page_at_a_time(
    any_database: Database, monkeypatch: object
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)  # type: ignore[attr-defined]
    examples = Examples(any_database)
    await examples.add([example(f"{n}-{copy}", f"g{n}") for n in range(7) for copy in range(3)])
    await examples.add([example("v", "h", "val")])
    found = [group async for group in examples.groups()]
    assert found == [*((f"g{n}", "train") for n in range(7)), ("h", "val")]


def act(number: int, kind: str, ts: int, channel: str = "alice", **fields: str) -> ModerationRow:
    given: dict = {"id": f"{channel}-{number}", "channel": channel, "ts": ts, "kind": kind}
    return ModerationRow(Moderation(**given, **fields))


async def test_what_moderators_did(any_database: Database, log: Log) -> None:
    window = 600_000
    evidence = Evidence(any_database)
    assert await evidence.deleted(["m1"]) == set()
    assert await evidence.deleted(["", ""]) == set()
    assert await evidence.silenced() == {}
    assert await evidence.busy(1) == []
    said = [
        ChatRow(ChatMessage(id=f"m{n}", channel="alice", ts=10 * window + n, user="ada", text="x"))
        for n in range(5)
    ]
    await log(
        *said,
        act(1, "delete", 10 * window + 1, message_id="m1"),
        act(2, "timeout", 10 * window + 2, user="bob"),
        act(3, "ban", 11 * window - 1, user="bob"),
        act(4, "clear", 10 * window + 3),
        act(5, "ban", 11 * window, user="kim"),
        act(6, "delete", 3 * window, "carol", message_id="m2"),
    )
    assert await evidence.deleted(["m1", "m2", "m3", ""]) == {("alice", "m1"), ("carol", "m2")}
    assert await evidence.silenced() == {
        ("alice", "bob"): 11 * window - 1,
        ("alice", "kim"): 11 * window,
    }
    assert await evidence.busy(2) == [Busy("alice", 10, 3, 5)]
    assert len(await evidence.busy(1)) == 3


async def test_tombstones(any_database: Database) -> None:
    rows = [
        {"viewer_hash": viewer_hash(" @Bob"), "channel": channel, "ts": ts}
        for channel, ts in [("", 1), ("", 2), ("alice", 3)]
    ]
    async with any_database.write() as connection:
        await connection.execute(insert(erasure), rows)
    gone = viewer_hash("bob")
    assert await Evidence(any_database).tombstones() == {
        Tombstone(gone, ""),
        Tombstone(gone, "alice"),
    }
