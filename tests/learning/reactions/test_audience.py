"""Votes and reactions of a live chat, over the real bus and database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from understudy.bus import Bus
from understudy.config import Settings, load_settings
from understudy.events import ChatMessage, Decision, Event, Moderation, Reply, StreamEvent
from understudy.learning.feedback import Feedback, Judgement
from understudy.learning.reactions.audience import Audience
from understudy.learning.reactions.votes import VoteReader
from understudy.mood.lexicon import Lexicon
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.feedback import standing
from understudy.storage.log_writer import LogWriter
from understudy.storage.reactions import ReactionRow, Reactions
from understudy.storage.rows import ChatRow, ExperienceRow, FeedbackRow
from understudy.storage.viewers import Viewers

START = 1_763_150_400_000
HOUR = 3_600_000


@dataclass
class Stage:
    """A channel `ada` that is live; times are seconds after its start."""

    database: Database
    log: LogWriter
    bus: Bus
    audience: Audience
    feedback: Feedback
    experiences: Experiences
    reactions: Reactions
    settings: Settings
    said: int = 0
    known: set[str] = field(default_factory=set)

    async def event(self, event: Event) -> None:
        await self.bus.publish(event)

    async def heard(self) -> None:
        """Wait until all that was published is dealt with."""
        for subscription in self.bus.subscriptions:
            await subscription.drained()

    async def chat(self, at: float, user: str, text: str, **fields: Any) -> ChatMessage:
        self.said += 1
        message = ChatMessage(
            **{"id": f"m{self.said}", "channel": "ada", "ts": ms(at), "user": user, "text": text}
            | fields
        )
        if user not in self.known and not fields.get("first"):
            # Seen long before.
            self.known.add(user)
            former = ChatMessage(
                id=f"old_{user}", channel="ada", ts=START - HOUR, user=user, text="hi"
            )
            await self.log.append(ChatRow(former))
        await self.event(message)
        return message

    async def reply(self, at: float, turn: str, user: str = "kim", **fields: Any) -> None:
        values = {"text": f"This is what I said in {turn}.", "status": "complete"} | fields
        await self.log.append(
            ExperienceRow(
                id=turn,
                ts=ms(at),
                channel="ada",
                session="channel_ada",
                user=user,
                persona="default",
                model="m",
                prompt_messages=[],
                prompt_text="?",
                response=values["text"],
                status=values["status"],
                events=values.pop("events", ""),
            )
        )
        reply = Reply(
            id=f"{turn}_reply",
            channel="ada",
            ts=ms(at),
            turn=turn,
            session="channel_ada",
            user=user,
            model="m",
            persona="default",
            **values,
        )
        await self.event(reply)

    async def votes(self, turn: str) -> list[tuple[str, str, float, float]]:
        """The thumbs that count: by whom, whose, value, weight."""
        await self.heard()
        rows = standing(await self.experiences.feedback(turn))
        return [(row.by, row.source, row.value, row.weight) for row in rows if row.kind == "thumb"]

    async def rating(self, turn: str) -> float:
        await self.heard()
        experience = await self.experiences.get(turn)
        assert experience is not None
        return experience.rating


def ms(at: float) -> int:
    return START + int(at * 1000)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    settings = load_settings(env={}, env_file=None)
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'stage.db'}")
    log = LogWriter(database)
    await log.start()
    bus = Bus()
    experiences, reactions = Experiences(database), Reactions(database)
    feedback = Feedback(experiences, log)
    lexicon = Lexicon()
    audience = Audience(
        *(bus, settings, feedback, experiences, reactions, Viewers(database)),
        is_live=lambda channel: channel == "ada",
        score=lambda _, text: lexicon.score(text),
        now=lambda: START,
    )
    audience.start()
    yield Stage(database, log, bus, audience, feedback, experiences, reactions, settings)
    await audience.close()
    await log.close()
    await database.close()


async def test_a_broken_event_does_not_end_all_votes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.reply(10, "run_a", user="kim")
    with monkeypatch.context() as broken:
        broken.setattr(VoteReader, "read", lambda *_: 1 / 0)
        await stage.chat(12, "kim", "!good")
        await stage.heard()
    assert "left out of votes and reactions" in caplog.text
    await stage.chat(13, "kim", "!good")
    assert await stage.votes("run_a") == [("kim", "viewer", 1.0, 1.0)]


async def test_viewers_judge_the_reply_to_them_else_the_newest(stage: Stage) -> None:
    await stage.reply(10, "run_a", user="kim")
    await stage.reply(20, "run_b", user="lee")
    await stage.chat(30, "kim", "!good")
    await stage.chat(31, "mo", "!BAD that was rude")
    await stage.chat(90, "joe", "!good")
    assert await stage.votes("run_a") == [("kim", "viewer", 1.0, 1.0)]
    assert await stage.votes("run_b") == [("mo", "viewer", -1.0, 1.0)]


async def test_one_viewer_has_one_voice_and_may_change_it(stage: Stage) -> None:
    await stage.reply(10, "run_a")
    for at in (11, 12, 13):
        await stage.chat(at, "mo", "!good !good !good")
    await stage.chat(14, "mo", "!bad")
    assert await stage.votes("run_a") == [("mo", "viewer", -1.0, 1.0)]


async def test_moderators_weigh_five_times_as_much(stage: Stage) -> None:
    await stage.reply(10, "run_a")
    await stage.chat(11, "mo", "!good")
    await stage.chat(12, "amy", "!bad", role="moderator")
    await stage.chat(13, "ada", "!bad", role="streamer")
    assert await stage.rating("run_a") == 1 - 5 - 5


async def test_a_crowd_weighs_no_more_than_the_streamer(stage: Stage) -> None:
    await stage.reply(10, "run_a")
    for number in range(12):
        await stage.chat(11 + number, f"viewer{number}", "!good")
    assert len(await stage.votes("run_a")) == 12
    assert await stage.rating("run_a") == 5.0


async def test_votes_of_newcomers_and_raiders_do_not_count(stage: Stage) -> None:
    await stage.reply(10, "run_a")
    await stage.chat(11, "new", "!good", first=True)
    await stage.chat(12, "mo", "!bad")
    assert await stage.votes("run_a") == [("new", "viewer", 1.0, 0.0), ("mo", "viewer", -1.0, 1.0)]
    raid = StreamEvent(id="e1", channel="ada", ts=ms(13), kind="raid", user="orbit", amount=50)
    await stage.event(raid)
    for number in range(20):
        await stage.chat(14 + number, f"raider{number}", "!good")
    assert await stage.rating("run_a") == -1.0
    await stage.reply(140, "run_b")
    await stage.chat(150, "raider1", "!good")
    assert await stage.rating("run_b") == 1.0


async def test_bots_strangers_and_the_cohost_have_no_vote(stage: Stage) -> None:
    await stage.reply(10, "run_a")
    await stage.chat(11, "nightbot", "!good")
    await stage.chat(12, "understudy", "!good")
    await stage.chat(13, "mo", "!good", blocked=True)
    await stage.chat(14, "joe", "!good", tags={"source-room-id": "1", "room-id": "2"})
    await stage.chat(15, "joe", "!goodbye everyone")
    assert await stage.votes("run_a") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("👍", 1.0),
        ("@Understudy 👎🏽", -1.0),
        ("👍👍 👍", 1.0),
        ("👍👎", None),
        ("👍 nice one", None),
    ],
)
async def test_a_thumb_in_reply_to_the_cohost_is_a_vote(
    stage: Stage, text: str, value: float | None
) -> None:
    await stage.reply(10, "run_a")
    await stage.chat(11, "understudy", "@kim This is what I said in run_a.", id="own1")
    await stage.reply(12, "run_b")
    fields = {"reply_to": "own1", "reply_to_user": "understudy"}
    await stage.chat(13, "mo", text, **fields)
    await stage.chat(14, "joe", text)
    votes = await stage.votes("run_a")
    assert votes == ([] if value is None else [("mo", "viewer", value, 1.0)])
    assert await stage.votes("run_b") == []


async def test_a_rehearsed_channel_leaves_nothing(stage: Stage) -> None:
    await stage.reply(10, "run_a")
    other = ChatMessage(id="x", channel="other", ts=ms(11), user="mo", text="!good")
    await stage.event(other)
    assert await stage.votes("run_a") == []


def control(number: int, at: float) -> Decision:
    return Decision(
        id=f"d{number}",
        channel="ada",
        ts=ms(at),
        message_id=f"left{number}",
        message_ts=ms(at - 1),
        user="kim",
        action="skipped",
        reason="silent_control",
    )


async def play(stage: Stage, rounds: int, laughing: int = 0) -> None:
    """A quiet room of four in which chances are left out, with so many who laugh all the same."""
    for number in range(rounds):
        at = 100.0 + 60 * number
        for viewer in range(4):
            await stage.chat(at - 20 + viewer, f"viewer{viewer}", f"talk {number} {viewer}")
        await stage.event(control(number, at))
        for viewer in range(laughing):
            await stage.chat(at + 5 + viewer, f"viewer{viewer}", "haha")
        await stage.chat(at + 40, "viewer1", f"more talk {number}")


async def test_laughs_beyond_what_is_usual_are_a_reward(stage: Stage) -> None:
    await play(stage, 30)
    at = 2_000.0
    for viewer in range(4):
        await stage.chat(at - 20 + viewer, f"viewer{viewer}", f"what now {viewer}")
    await stage.reply(at, "run_good")
    for viewer in range(4):
        await stage.chat(at + 5 + viewer, f"viewer{viewer}", "KEKW haha")
    await stage.reply(at + 60, "run_flat")
    await stage.chat(at + 62, "viewer2", "hm")
    await stage.chat(at + 90, "viewer1", "and on we go")
    await stage.heard()
    good, flat = await stage.reactions.get("run_good"), await stage.reactions.get("run_flat")
    assert good is not None
    assert flat is not None
    assert good.masked_by == flat.masked_by == ""
    assert good.signals["laugh"] > 1.5
    assert good.expected["laugh"] < 0.5
    assert good.reward is not None
    assert flat.reward is not None
    assert good.reward > 1.5 > flat.reward
    left = await stage.reactions.get("left3")
    assert left is not None
    assert (left.control, left.reward, left.masked_by) == (True, None, "")


async def reaction(stage: Stage, turn: str) -> ReactionRow:
    await stage.chat(3_000, "viewer1", "later")
    await stage.heard()
    found = await stage.reactions.get(turn)
    assert found is not None
    return found


@pytest.mark.parametrize("case", ["raid", "safety", "withheld", "interrupted", "few_chatters"])
async def test_what_has_another_cause_is_no_reward(stage: Stage, case: str) -> None:
    await play(stage, 20)
    at = 2_000.0
    for viewer in range(1 if case == "few_chatters" else 4):
        await stage.chat(at - 20 + viewer, f"viewer{viewer}", f"what now {viewer}")
    fields: dict[str, Any] = {"events": "withheld"} if case == "withheld" else {}
    await stage.reply(
        at, "run_a", status="stopped" if case == "interrupted" else "complete", **fields
    )
    if case == "safety":
        await stage.feedback.give(
            Judgement(experience="run_a", kind="safety", by="amy", source="moderator")
        )
    if case == "raid":
        raid = StreamEvent(id="e1", channel="ada", ts=ms(at + 10), kind="raid", user="orbit")
        await stage.event(raid)
    await stage.chat(at + 5, "viewer0", "haha")
    found = await reaction(stage, "run_a")
    assert found.reward is None
    assert found.masked_by == ("safety" if case == "withheld" else case)


async def test_without_anything_to_compare_with_there_is_no_reward(stage: Stage) -> None:
    for viewer in range(4):
        await stage.chat(100 + viewer, f"viewer{viewer}", f"talk {viewer}")
    await stage.reply(110, "run_a")
    assert (await reaction(stage, "run_a")).masked_by == "nothing_to_compare"


async def test_what_a_moderator_removed_is_no_reaction(stage: Stage) -> None:
    await play(stage, 20)
    for viewer in range(4):
        await stage.chat(1_980 + viewer, f"viewer{viewer}", f"what now {viewer}")
    await stage.reply(2_000, "run_a")
    for viewer in range(4):
        await stage.chat(2_004, f"viewer{viewer}", "LUL")
    await stage.event(Moderation(id="x1", channel="ada", ts=ms(2_005), kind="clear"))
    found = await stage.reactions.get("run_a")
    assert found is None
    await stage.chat(2_100, "viewer1", "later")
    await stage.heard()
    found = await stage.reactions.get("run_a")
    assert found is not None
    assert found.signals["laugh"] == 0


async def test_extreme_rewards_are_weak_thumbs(stage: Stage) -> None:
    await play(stage, 20, laughing=2)
    for number in range(40):
        at = 2_000.0 + 60 * number
        for viewer in range(6):
            await stage.chat(at - 20 + viewer, f"viewer{viewer}", f"what now {number} {viewer}")
        await stage.reply(at, f"run_{number}")
        for viewer in range(number % 7):
            await stage.chat(at + 5 + viewer, f"viewer{viewer}", "haha")
    await stage.chat(5_000, "viewer1", "later")
    await stage.heard()
    rows: list[FeedbackRow] = []
    for number in range(40):
        rows += await stage.experiences.feedback(f"run_{number}")
    labels = {(row.kind, row.source, row.value, row.weight) for row in rows}
    assert labels == {("reward", "system", 1.0, 0.5), ("reward", "system", -1.0, 0.25)}
    liked = {int(row.experience[4:]) % 7 for row in rows if row.value > 0}
    assert liked <= {4, 5, 6}
    disliked = {int(row.experience[4:]) % 7 for row in rows if row.value < 0}
    assert disliked <= {0, 1, 2}
