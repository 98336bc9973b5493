"""What the gates are told of rows: who was answered, and who is to be forgotten."""

from pathlib import Path

from tests.serving import settings_for
from understudy.learning.evaluation.judging import local_model, originate
from understudy.learning.gates.data import Origin
from understudy.storage.engine import Database
from understudy.storage.evidence import viewer_hash
from understudy.storage.examples import ExampleRow, Examples
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ExperienceRow
from understudy.storage.tables import erasure


def said(name: str, user: str) -> ExperienceRow:
    return ExperienceRow(
        id=name,
        ts=1,
        channel="ada",
        session="s",
        user=user,
        persona="",
        model="tiny",
        prompt_messages=[],
        prompt_text="hi",
        response="hello",
        status="complete",
    )


async def test_the_origin_of_rows(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    log = LogWriter(database)
    await log.start()
    for name, user in (("r1", "bob"), ("r2", "eve"), ("r3", "dan"), ("r4", "dan")):
        await log.put(said(name, user))
    await log.close()
    rows = [
        ExampleRow(
            id=name, channel=channel, session="s", ts=1, duplicates=name, split="train", state=state
        )
        for name, channel, state in (
            ("r1", "ada", "rejected"),
            ("r2", "ada", "auto"),
            ("r3", "ada", "auto"),
            ("r4", "bob", "auto"),
        )
    ]
    await Examples(database).add(rows)
    async with database.write() as connection:
        for viewer, channel in (("eve", ""), ("dan", "ada")):
            await connection.execute(
                erasure.insert().values(viewer_hash=viewer_hash(viewer), channel=channel, ts=1)
            )
    assert await originate(database, ["r1", "r2", "r3", "r4", "anchor1"]) == {
        "r1": Origin("bob", "rejected"),
        "r2": Origin("eve", "tombstoned"),
        "r3": Origin("dan", "tombstoned"),
        "r4": Origin("dan", "auto"),
        "anchor1": Origin("", ""),
    }
    await database.close()


def test_the_local_model_is_that_of_the_settings(tmp_path: Path) -> None:
    assert local_model(settings_for(tmp_path, brain__hf_model="a/b")) == "a/b"
    chosen = settings_for(tmp_path, brain__provider="huggingface", brain__model="c/d")
    assert local_model(chosen) == "c/d"
    other = settings_for(
        tmp_path, brain__provider="claude", brain__model="x", brain__hf_model="a/b"
    )
    assert local_model(other) == "a/b"
