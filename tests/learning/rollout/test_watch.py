"""Canaries are decided by what is in the database, with the reason on record."""

import asyncio

import pytest

from understudy.events import now_ms
from understudy.learning.rollout.comparison import CanaryLimits
from understudy.learning.rollout.watch import SETTLED_MS, STREAM_OVER_MS, CanaryWatch
from understudy.learning.versions.deploying import Deploying, Override
from understudy.learning.versions.registry import Registry
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.outcomes import Outcome, Outcomes
from understudy.storage.reactions import ReactionRow, Reactions
from understudy.storage.rows import BASE, WITHHELD, ExperienceRow, FeedbackRow, FeedbackSource

LIMITS = CanaryLimits(replies=20, judged=5, stream_replies=5)


@pytest.fixture
def watch(deploying: Deploying, registry: Registry, database: Database) -> CanaryWatch:
    return CanaryWatch(deploying, registry.versions, Outcomes(database), LIMITS)


class Room:
    """Replies and what was made of them."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self._count = 0

    async def reply(
        self,
        version: str,
        ts: int,
        channel: str = "ada",
        status: str = "complete",
        events: str = "",
    ) -> str:
        self._count += 1
        row = ExperienceRow(
            id=f"run{self._count:04}",
            ts=ts,
            channel=channel,
            session="s",
            user=f"viewer{self._count}",
            persona="default",
            model="tiny",
            prompt_messages=[],
            prompt_text="hi",
            response="hello",
            status=status,  # type: ignore[arg-type]
            version="" if version == BASE else version,
            events=events,
        )
        await self._log.append(row)
        return row.id

    async def judge(
        self,
        experience: str,
        value: float,
        kind: str = "thumb",
        source: FeedbackSource = "viewer",
        ts: int = 1,
    ) -> None:
        row = FeedbackRow(
            id=f"{experience}{kind}{source}{ts}",
            experience=experience,
            ts=ts,
            kind=kind,
            value=value,
            by="bob",
            source=source,
        )
        await self._log.append(row)

    async def judged(self, version: str, value: float, count: int, ts: int) -> None:
        for _ in range(count):
            await self.judge(await self.reply(version, ts), value)


@pytest.fixture
def room(log: LogWriter) -> Room:
    return Room(log)


async def test_outcomes_are_the_replies_and_what_was_made_of_them(
    database: Database, room: Room
) -> None:
    liked = await room.reply("all@2", 10)
    await room.judge(liked, 1, ts=1)
    await room.judge(liked, -1, "reward", "system")
    taken_back = await room.reply("all@2", 11)
    await room.judge(taken_back, -1, ts=1)
    await room.judge(taken_back, 0, ts=2)
    unsafe = await room.reply(BASE, 12)
    await room.judge(unsafe, 1, "safety", "moderator")
    withheld = await room.reply("all@2", 12, events=f"raid,{WITHHELD}")
    await room.reply("all@2", 13, status="stopped", events="raid")
    await room.reply("all@2", 14, channel="eve")
    row = ReactionRow(
        id=taken_back, channel="ada", ts=11, control=False, signals={}, features=[], expected={},
        reward=0.5,
    )  # fmt: skip
    await Reactions(database).add(row)
    outcomes = Outcomes(database)
    found = await outcomes.since("ada", ["all@2", BASE], 0)
    assert found == [
        Outcome(id=liked, ts=10, version="all@2", rating=1.0),
        Outcome(id=taken_back, ts=11, version="all@2", reward=0.5),
        Outcome(id=unsafe, ts=12, version=BASE, unsafe=True),
        Outcome(id=withheld, ts=12, version="all@2", unsafe=True),
    ]
    assert [o.ts for o in await outcomes.since("", ["all@2"], 11)] == [11, 12, 14]
    assert [o.ts for o in await outcomes.since("", ["all@2"], 0, until=11)] == [10]
    assert len(await outcomes.since("", ["all@2"], 0, limit=2)) == 2
    assert await outcomes.answered([liked, "nobody"]) == {liked: "viewer1"}


async def test_a_canary_that_is_liked_is_promoted(
    deploying: Deploying, registry: Registry, watch: CanaryWatch, room: Room
) -> None:
    await deploying.promote("all@1", actor="o")
    canary = await deploying.canary("all@2", actor="o", share=0.5)
    await room.judged("all@1", -1, 20, canary.ts + 1)
    await room.judged("all@2", 1, 20, canary.ts + 2)
    ((row, early),) = await watch.look(canary.ts + SETTLED_MS)
    assert (row, early.action) == (canary, "wait")
    ((_, judgement),) = await watch.look(canary.ts + 2 + SETTLED_MS)
    assert judgement.action == "promote"
    last = (await registry.versions.deployments(""))[-1]
    assert (last.version, last.share, last.actor) == ("all@2", 1.0, "understudy")
    assert last.reason == judgement.reason
    (gate,) = [g for g in await registry.versions.newest_evaluation("all@2") if g.gate == "G6"]
    assert (gate.passed, gate.against, gate.sentence) == (True, "all@1", judgement.reason)
    assert gate.figures["canary"]["judged"] == 20
    assert await watch.look(canary.ts + 2 + SETTLED_MS) == []


async def test_a_canary_that_is_not_liked_is_taken_back(
    deploying: Deploying, registry: Registry, watch: CanaryWatch, room: Room
) -> None:
    canary = await deploying.canary("all@2", actor="o")
    await room.judged(BASE, 1, 60, canary.ts + 1)
    await room.judged("all@2", -1, 40, canary.ts + 2)
    ((_, judgement),) = await watch.look(canary.ts + 2 + SETTLED_MS)
    assert judgement.action == "roll_back"
    last = (await registry.versions.deployments(""))[-1]
    assert (last.version, last.before) == (BASE, "all@2")
    version = await registry.get("all@2")
    assert (version.state, version.reason) == ("retired", judgement.reason)


async def test_danger_counts_at_once_and_blocks(
    deploying: Deploying, registry: Registry, watch: CanaryWatch, room: Room
) -> None:
    now = now_ms()
    for number in range(300):
        await room.reply(BASE, now - 1_000_000 + number)
    canary = await deploying.canary("all@2", actor="o")
    for number in range(3):
        await room.reply("all@2", canary.ts + number)
    await room.judge("run0301", 1, "safety", "moderator")
    ((_, judgement),) = await watch.look(canary.ts + 3)
    assert (judgement.action, judgement.unsafe) == ("roll_back", True)
    assert "1 of its 1 replies were marked unsafe or cut by the output filter, " in judgement.reason
    assert (await registry.get("all@2")).state == "blocked"


async def test_what_the_output_filter_keeps_back_is_danger_too(
    deploying: Deploying, registry: Registry, watch: CanaryWatch, room: Room
) -> None:
    now = now_ms()
    for number in range(300):
        await room.reply(BASE, now - 1_000_000 + number, events="raid")
    canary = await deploying.canary("all@2", actor="o")
    await room.reply("all@2", canary.ts, events=WITHHELD)
    ((_, judgement),) = await watch.look(canary.ts + 1)
    assert (judgement.action, judgement.unsafe) == ("roll_back", True)
    assert "1 of its 1 replies were marked unsafe or cut by the output filter" in judgement.reason
    assert (await registry.get("all@2")).state == "blocked"


async def test_the_end_of_a_stream_decides(
    deploying: Deploying, watch: CanaryWatch, room: Room
) -> None:
    canary = await deploying.canary("all@2", actor="o")
    await room.judged("all@2", 1, 6, canary.ts + 1)
    await room.judged(BASE, 1, 6, canary.ts + 2)
    ((_, early),) = await watch.look(canary.ts + SETTLED_MS + 2)
    assert early.action == "wait"
    ((_, late),) = await watch.look(canary.ts + STREAM_OVER_MS + 2)
    assert late.action == "promote"


async def test_another_watch_decides_the_same(
    deploying: Deploying, registry: Registry, database: Database, watch: CanaryWatch, room: Room
) -> None:
    canary = await deploying.canary("ada@1", actor="o")
    await room.judged("ada@1", 1, 12, canary.ts + 1)
    other = CanaryWatch(deploying, registry.versions, Outcomes(database), LIMITS)
    now = canary.ts + 1 + SETTLED_MS
    assert await watch.judge(canary, now) == await other.judge(canary, now)


async def test_what_cannot_be_carried_out_is_a_problem(
    deploying: Deploying, registry: Registry, watch: CanaryWatch, room: Room
) -> None:
    await deploying.block("all@2", "by hand")
    canary = await deploying.canary("all@2", actor="o", override=Override("olga", "I know"))
    await deploying.block("all@2", "by hand")
    await room.judged("all@2", 1, 20, canary.ts + 1)
    await room.judged(BASE, 1, 20, canary.ts + 1)
    await watch.look(canary.ts + 1 + SETTLED_MS)
    assert watch.problems == [
        "the canary all@2 cannot be decided: version all@2 is blocked (by hand): evaluate it "
        "again, or override with a reason"
    ]
    assert (await registry.versions.deployments(""))[-1] == canary


async def test_it_watches_by_itself(
    deploying: Deploying, registry: Registry, database: Database, room: Room
) -> None:
    canary = await deploying.canary("all@2", actor="o")
    await room.judge(await room.reply("all@2", canary.ts), 1, "safety", "moderator")
    watch = CanaryWatch(deploying, registry.versions, Outcomes(database), LIMITS, poll_seconds=0.01)
    watch.start()
    try:
        async with asyncio.timeout(10):
            while (await registry.get("all@2")).state != "blocked":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await watch.close()
