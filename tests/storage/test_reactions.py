"""Reactions, in SQLite and PostgreSQL."""

from understudy.storage.engine import Database
from understudy.storage.reactions import ReactionRow, Reactions


def reaction(number: int, **fields: object) -> ReactionRow:
    values = {
        "channel": "ada",
        "ts": number,
        "control": False,
        "signals": {"laugh": 0.7},
        "features": [1.0, 0.5],
        "expected": {"laugh": 0.1},
        "reward": 1.5,
    }
    return ReactionRow(id=f"r{number}", **(values | fields))  # pyright: ignore[reportArgumentType]


async def test_a_reaction_comes_back_as_it_was_stored(any_database: Database) -> None:
    reactions = Reactions(any_database)
    masked = reaction(2, reward=None, masked_by="raid", control=True)
    for row in (reaction(1), masked, reaction(1, reward=9.0)):
        await reactions.add(row)
    assert await reactions.get("r1") == reaction(1)
    assert await reactions.get("r2") == masked
    assert await reactions.get("r3") is None


async def test_the_newest_of_a_channel_come_oldest_first(any_database: Database) -> None:
    reactions = Reactions(any_database)
    for number in (3, 1, 4, 2):
        await reactions.add(reaction(number))
    await reactions.add(reaction(9, channel="bob"))
    assert [row.id for row in await reactions.newest("ada", 3)] == ["r2", "r3", "r4"]
