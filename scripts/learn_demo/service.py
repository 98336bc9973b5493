"""The co-host at work: a real model that answers with the versions that are deployed.

Owns the viewers on the web who ask it, and their thumbs. Does not own who gets which version, nor
when a canary is decided (`understudy.learning.rollout`).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Self

import msgspec

from scripts.learn_demo.world import SYSTEM, Game, World, question
from understudy.brains.base import BrainEvent, BrainMessage, BrainRequest, Text
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.loading import LoadOptions
from understudy.events import now_ms
from understudy.learning.feedback import Feedback, Judgement
from understudy.learning.rollout.choice import VersionChoice
from understudy.learning.rollout.comparison import Judgement as CanaryJudgement
from understudy.learning.rollout.follower import DeploymentFollower
from understudy.learning.rollout.watch import STREAM_OVER_MS, CanaryWatch
from understudy.learning.serving.local import LocallyServed
from understudy.learning.versions.deploying import Deploying
from understudy.learning.versions.registry import Registry
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.outcomes import Outcomes
from understudy.storage.rows import BASE, ExperienceRow

AN_EVENING = 40
"""Viewers who ask before the canary is looked at."""
MOST_EVENINGS = 10
AT_ONCE = 8
THUMBS = 0.9
"""How likely somebody who asked gives a thumb."""
_LOOK_SECONDS = 0.002


class TriedOut(msgspec.Struct, frozen=True):
    """What became of a canary: the action, the reason, and the replies it took."""

    action: str
    reason: str
    replies: int


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """What a way back looked like: prompts asked, and how many answers were the same bytes.

    `changed` is how many of them the newer version answers otherwise; `whole` says whether the
    reply that was under way ended as it would have; `seconds` went by from the decision until new
    replies had the former version.
    """

    asked: int
    same: int
    changed: int
    whole: bool
    to: str
    seconds: float


class Service:
    """The base in `model` and whatever is deployed; an async context manager."""

    def __init__(self, model: str, registry: Registry, database: Database, world: World) -> None:
        self._brain = HuggingFaceBrain(LoadOptions(model=model, device="cpu", dtype="float32"))
        self._world = world
        self._choice = VersionChoice()
        self._follower = DeploymentFollower(registry, LocallyServed(self._brain), self._choice)
        self._deploying = Deploying(registry)
        self._watch = CanaryWatch(self._deploying, registry.versions, Outcomes(database))
        self._log = LogWriter(database)
        self._feedback = Feedback(Experiences(database), self._log)
        self._asked = 0

    async def __aenter__(self) -> Self:
        """Open."""
        await self._log.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the log and the model."""
        await self._log.close()
        await self._follower.close()
        await self._brain.aclose()

    async def try_out(self, game: Game, seed: int) -> TriedOut:
        """Let viewers ask about `game` until the canary that is deployed is decided."""
        await self._follower.look()
        for evening in range(MOST_EVENINGS):
            chance = random.Random(f"{seed}:{self._asked}")
            turns = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as viewers:
                for _ in range(AN_EVENING):
                    thing = chance.choice(game.things)
                    thumb = chance.random() < THUMBS
                    viewers.create_task(
                        self._visit(turns, question(chance, thing), thing, thumb=thumb),
                        name="viewer",
                    )
            # Nobody asks any more, and all that will be judged has been.
            judged = await self._watch.look(now_ms() + STREAM_OVER_MS)
            for _, judgement in judged:
                if judgement.action != "wait":
                    await self._follower.look()
                    return _tried_out(judgement, (evening + 1) * AN_EVENING)
        return TriedOut("wait", "it was not decided", MOST_EVENINGS * AN_EVENING)

    async def answers(self, questions: Sequence[str]) -> list[str]:
        """What is answered by what is deployed now, greedily."""
        return [await self._answer(text, self._choice.choose("", "")) for text in questions]

    async def roll_back(self, questions: Sequence[str], before: Sequence[str]) -> RolledBack:
        """Go back to the former version while a reply of the newer one streams.

        `before` is what the former version answered to `questions` when it was live.
        """
        newer = await self.answers(questions)
        version = self._choice.choose("", "")
        self._follower.start()
        async with aclosing(self._stream(questions[0], version)) as events:
            said = [await _next_text(events) for _ in range(2)]
            decided = time.monotonic()
            await self._deploying.roll_back(actor="ada", reason="the way back is shown")
            while self._choice.choose("", "") == version:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(_LOOK_SECONDS)
            seconds = time.monotonic() - decided
            after = await self.answers(questions)
            said += [event.text async for event in events if isinstance(event, Text)]
        return RolledBack(
            asked=len(questions),
            same=_same(after, before),
            changed=len(questions) - _same(newer, before),
            whole="".join(said) == newer[0],
            to=self._choice.choose("", ""),
            seconds=round(seconds, 3),
        )

    async def _visit(
        self, turns: asyncio.Semaphore, asked: str, thing: str, *, thumb: bool
    ) -> None:
        """Somebody asks on the web and, perhaps, judges the reply by the hidden taste."""
        self._asked += 1
        name = f"websnail{self._asked:03}x"
        version = self._choice.choose("", name)
        async with turns:
            reply = await self._answer(asked, version)
        row = ExperienceRow(
            id=f"run_{name}",
            ts=now_ms(),
            channel="",
            session=f"session_{name}",
            user=name,
            persona="default",
            model="local",
            prompt_messages=[_as_row(message) for message in _messages(asked)],
            prompt_text=asked,
            response=reply,
            status="complete",
            version="" if version == BASE else version,
        )
        await self._log.append(row)
        if thumb:
            value = 1.0 if self._world.is_liked(reply, thing) else -1.0
            await self._feedback.give(
                Judgement(experience=row.id, kind="thumb", by=name, source="viewer", value=value)
            )

    async def _answer(self, asked: str, version: str) -> str:
        async with aclosing(self._stream(asked, version)) as events:
            return "".join([event.text async for event in events if isinstance(event, Text)])

    def _stream(self, asked: str, version: str):
        request = BrainRequest(messages=_messages(asked), max_tokens=40, temperature=0.0)
        return self._brain.stream(request, version)


def _same(some: Sequence[str], others: Sequence[str]) -> int:
    """How many of two lists are the same bytes."""
    pairs = zip(some, others, strict=True)
    return sum(one.encode() == other.encode() for one, other in pairs)


def _tried_out(judgement: CanaryJudgement, replies: int) -> TriedOut:
    return TriedOut(judgement.action, judgement.reason, replies)


def _messages(asked: str) -> list[BrainMessage]:
    return [BrainMessage("system", SYSTEM), BrainMessage("user", asked)]


def _as_row(message: BrainMessage) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


async def _next_text(events: AsyncIterator[BrainEvent]) -> str:
    event = await anext(events)
    return event.text if isinstance(event, Text) else ""
