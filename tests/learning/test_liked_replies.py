"""Liked replies: switched by channel, as many as are wanted, alike enough, redacted."""

from pathlib import Path
from typing import Any

import pytest

from understudy.config import LearningSettings, load_settings
from understudy.learning.liked_replies import LikedReplies
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ExperienceRow, FeedbackRow

QUESTION = "which resin do you pour"


@pytest.fixture
async def experiences(tmp_path: Path) -> Any:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'liked.db'}")
    log = LogWriter(database)
    await log.start()
    for number in range(5):
        row = ExperienceRow(
            id=f"e{number}",
            ts=number,
            channel="ada",
            session="s",
            user="kim",
            persona="default",
            model="m",
            prompt_messages=[],
            prompt_text=f"{QUESTION} number {number}, kim@example.org?",
            response=f"Epoxy {number}.",
            status="complete",
        )
        await log.append(row)
        thumb = FeedbackRow(id=f"f{number}", experience=row.id, ts=1, kind="thumb", value=number)
        await log.append(thumb)
    yield Experiences(database)
    await log.close()
    await database.close()


async def test_the_best_ones_come_first_and_redacted(experiences: Experiences) -> None:
    liked = LikedReplies(experiences, LearningSettings.model_validate({"examples": 2}))
    found = await liked.examples(QUESTION, "default", "ada")
    assert [(each.experience, each.response) for each in found] == [
        ("e4", "Epoxy 4."),
        ("e3", "Epoxy 3."),
    ]
    assert all("kim@example.org" not in each.prompt for each in found)
    assert await liked.examples(QUESTION, "another", "ada") == []
    assert await liked.examples(QUESTION, "default", "bob") == []
    assert len(await liked.examples(QUESTION, "default", "")) == 2


async def test_a_word_in_common_is_not_alike_enough(experiences: Experiences) -> None:
    liked = LikedReplies(experiences, LearningSettings.model_validate({}))
    text = "what do other people in this whole wide world think of the pour"
    assert await liked.examples(text, "default", "ada") == []
    assert await liked.recall(text, "default", "ada")


async def test_a_channel_has_a_switch_of_its_own(experiences: Experiences) -> None:
    env = {"UNDERSTUDY_LEARNING__CHANNEL_EXAMPLES": "ada=0,bob=5"}
    settings = load_settings(env=env, env_file=None).learning
    assert (settings.examples_for("bob"), settings.examples_for("eve")) == (5, 3)
    liked = LikedReplies(experiences, settings)
    assert await liked.examples(QUESTION, "default", "ada") == []
    assert await liked.recall(QUESTION, "default", "ada") == []
