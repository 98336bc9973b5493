"""Watches canaries: promotes the ones that are well received, takes the others back.

Owns the task that compares and decides, with its reason on record. It reads what happened from the
database every time anew, so it can be restarted, or run in another process than the replies, and
decides the same. Does not own the decision's rule (`comparison`).
"""

import asyncio
import logging

from understudy.events import now_ms
from understudy.learning.rollout.comparison import CanaryLimits, Comparison, Judgement
from understudy.learning.rollout.follower import newest_by_channel
from understudy.learning.versions.deploying import AUTOMATIC, Deploying, tried_out
from understudy.learning.versions.errors import VersionError
from understudy.storage.errors import StorageError
from understudy.storage.outcomes import Outcome, Outcomes
from understudy.storage.versions import Deployment, Evaluation, ModelVersions

POLL_SECONDS = 5.0
SETTLED_MS = 60_000
"""A reply this old has been reacted to, if it will be; a mark of danger counts at once."""
STREAM_OVER_MS = 3_600_000
"""After so long without a reply the stream is over."""
MEMORY_MS = 30 * 86_400_000
"""How far back the live version's replies are looked at for danger."""
GATE = "G6"

_log = logging.getLogger(__name__)


class CanaryWatch:
    """Decides canaries. `problems` says what keeps a decision from being carried out."""

    def __init__(
        self,
        deploying: Deploying,
        versions: ModelVersions,
        outcomes: Outcomes,
        limits: CanaryLimits | None = None,
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._deploying = deploying
        self._versions = versions
        self._outcomes = outcomes
        self._limits = limits or CanaryLimits()
        self._poll = poll_seconds
        self._task: asyncio.Task[None] | None = None
        self.problems: list[str] = []

    def start(self) -> None:
        """Watch from now on, in a task."""
        self._task = asyncio.create_task(self._watch(), name="canaries")

    async def close(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self, now: int | None = None) -> list[tuple[Deployment, Judgement]]:
        """Judge every canary and do what follows; returns what was judged.

        `now` (ms) stands in for the present. Raises `StorageError`.
        """
        moment = now_ms() if now is None else now
        judged: list[tuple[Deployment, Judgement]] = []
        self.problems = []
        for row in newest_by_channel(await self._versions.deployments()).values():
            if tried_out([row]) is None:
                continue
            judgement = await self.judge(row, moment)
            judged.append((row, judgement))
            if judgement.action != "wait":
                await self._carry_out(row, judgement, moment)
        return judged

    async def judge(self, canary: Deployment, now: int) -> Judgement:
        """What is to be done with a canary by all that has happened until `now` (ms)."""
        versions = [canary.version, canary.before]
        all_of = await self._outcomes.since(canary.channel, versions, canary.ts)
        former = await self._outcomes.since(
            canary.channel, [canary.before], canary.ts - MEMORY_MS, until=canary.ts
        )
        comparison = Comparison(canary.version, canary.before, self._limits)
        comparison.remember(len(former), sum(outcome.unsafe for outcome in former))
        for outcome in all_of:
            if outcome.unsafe or now - outcome.ts >= SETTLED_MS:
                comparison.observe(outcome)
        return comparison.judgement(stream_over=_is_over(all_of, now))

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except StorageError as error:
                _log.warning("the canaries cannot be watched: %s", error)
            await asyncio.sleep(self._poll)

    async def _carry_out(self, canary: Deployment, judgement: Judgement, now: int) -> None:
        row = Evaluation(
            version=canary.version,
            against=canary.before,
            gate=GATE,
            passed=judgement.action == "promote",
            sentence=judgement.reason,
            figures=judgement.figures,
            ts=now,
        )
        try:
            if judgement.action == "promote":
                await self._deploying.promote(
                    canary.version, actor=AUTOMATIC, reason=judgement.reason
                )
            else:
                await self._deploying.roll_back(
                    canary.channel,
                    actor=AUTOMATIC,
                    reason=judgement.reason,
                    state="blocked" if judgement.unsafe else "retired",
                    only=canary.version,
                )
        except VersionError as error:
            self.problems.append(f"the canary {canary.version} cannot be decided: {error}")
            return
        await self._versions.add_evaluation([row])
        _log.info("%s %s: %s", judgement.action, canary.version, judgement.reason)


def _is_over(outcomes: list[Outcome], now: int) -> bool:
    return bool(outcomes) and now - outcomes[-1].ts >= STREAM_OVER_MS
