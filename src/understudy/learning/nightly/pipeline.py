"""From what was logged to a canary: build, train, register, evaluate, try out.

Owns the order of the steps, what is done again and what is not, and how a night can end. Does not
own the steps (`steps`), nor when and by whom it is done (`schedule`, `worker`).

How far a job is stands in a file that is replaced after every step, so that a job whose worker was
killed goes on where it was: a step that was begun is begun again, one that is done is not.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from understudy.learning.evaluation.evaluator import Report
from understudy.learning.gates.verdict import passed
from understudy.learning.training.files import write_file
from understudy.learning.versions.errors import VersionError
from understudy.storage.jobs import Job

MORE_REPLAY = 0.5
"""Share of older rows when a version has forgotten too much with the usual one."""

Tell = Callable[[dict[str, Any]], Awaitable[None]]
"""Told how far a job is, as JSON-able facts."""


class LearnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is asked: to learn for `channel` (empty: all), with `replay` of older rows."""

    channel: str = ""
    persona: str = ""
    replay: float = 0.25
    window: str = ""
    queued: int = 0
    """When (ms): datasets built since then are of former attempts of this very job."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to learn: from which version on (empty: the base), why so, and with which replay."""

    start: str = ""
    anew: str = ""
    """Why the live version cannot be gone on from."""
    replay: float


class Steps(Protocol):
    """The steps of learning. Each raises an error with one sentence when it cannot be done."""

    async def too_little(self, request: LearnRequest) -> str:
        """Why there is too little new to learn from, as a sentence; empty when there is enough."""
        ...

    async def plan(self, request: LearnRequest) -> Plan:
        """Look where to begin."""
        ...

    async def build(self, request: LearnRequest) -> str:
        """Build a dataset as if there were none since the job was queued, and return its id."""
        ...

    async def train(self, dataset: str, run: str, start: str, tell: Tell) -> None:
        """Go on from version `start` with it, in the run of this name.

        A run that was begun before goes on where it was.
        """
        ...

    async def register(self, run: str, channel: str) -> str:
        """Make a version of the run, once, and return its name."""
        ...

    async def evaluate(self, version: str) -> Report:
        """Put the version through the gates."""
        ...

    async def try_out(self, version: str, reason: str) -> None:
        """Deploy the version as a canary; one that is deployed already stays so."""
        ...


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended, for the record: skipped, stopped by a gate, or trying out `version`."""

    ended: Literal["skipped", "blocked", "canary"]
    reason: str
    dataset: str = ""
    version: str = ""


class _Progress(msgspec.Struct, omit_defaults=True):
    """How far a job is; a step that is done has left its result."""

    plan: Plan | None = None
    dataset: str = ""
    run: str = ""
    trained: bool = False
    version: str = ""
    forgot: bool = False
    """Whether a first version forgot too much, so that this is the second."""


def unfinished(folder: Path) -> dict[int, str]:
    """The datasets that have not become a version, by the number of the job they were built in.

    `folder` is that of a `Pipeline`. Raises `VersionError`.
    """
    found: dict[int, str] = {}
    for path in folder.glob("*.json"):
        progress = _read(path)
        if path.stem.isdecimal() and progress.dataset and not progress.version:
            found[int(path.stem)] = progress.dataset
    return found


class Pipeline:
    """Carries out jobs; what is known of them lies in `folder`, a file for each."""

    def __init__(self, steps: Steps, folder: Path) -> None:
        self._steps = steps
        self._folder = folder

    async def handle(self, job: Job, tell: Tell) -> dict[str, Any]:
        """Carry out a job of the queue; what a `worker` calls."""
        request = msgspec.convert({**job.args, "queued": job.created}, LearnRequest)
        return msgspec.to_builtins(await self.learn(job.id, request, tell))

    async def learn(self, job: int, request: LearnRequest, tell: Tell) -> Outcome:
        """Carry out the job of this number from where it is; raises what the steps raise."""
        path = self._folder / f"{job}.json"
        progress = _read(path)
        if not progress.dataset and (reason := await self._steps.too_little(request)):
            return Outcome(ended="skipped", reason=reason)
        work = _Work(self._steps, job, request, progress, path, tell)
        report = await work.to_verdicts()
        if _forgot(report) and await work.begin_again(MORE_REPLAY):
            report = await work.to_verdicts()
        failed = [v for v in report.verdicts if not passed([v])]
        if failed:
            said = "; ".join(f"{v.gate} {v.sentence}" for v in failed)
            return Outcome(
                ended="blocked", reason=said, dataset=progress.dataset, version=progress.version
            )
        reason = f"it passed the gates against {report.against}"
        await work.say("try out")
        await self._steps.try_out(progress.version, reason)
        return Outcome(
            ended="canary", reason=reason, dataset=progress.dataset, version=progress.version
        )


class _Work:
    """A job under way."""

    def __init__(
        self,
        steps: Steps,
        job: int,
        request: LearnRequest,
        progress: _Progress,
        path: Path,
        tell: Tell,
    ) -> None:
        self._steps = steps
        self._job = job
        self._request = request
        self._progress = progress
        self._path = path
        self._tell = tell

    async def to_verdicts(self) -> Report:
        """Do what is not done yet, up to the verdicts of the gates."""
        progress, request = self._progress, self._request
        plan = progress.plan = progress.plan or await self._steps.plan(request)
        if not progress.dataset:
            await self.say("build")
            progress.dataset = await self._build(plan)
            self._save()
        if not progress.run:
            progress.run = f"job{self._job}-{progress.dataset}"
            self._save()
        if not progress.trained:
            await self.say("train")
            await self._steps.train(progress.dataset, progress.run, plan.start, self._tell)
            progress.trained = True
            self._save()
        if not progress.version:
            await self.say("register")
            progress.version = await self._steps.register(progress.run, request.channel)
            self._save()
        await self.say("evaluate")
        return await self._steps.evaluate(progress.version)

    async def begin_again(self, replay: float) -> bool:
        """Begin anew with a larger share of older rows, unless it was as large or was done before.

        The version before stays blocked. Returns whether there is something to do now.
        """
        progress = self._progress
        if progress.plan is None or progress.forgot or progress.plan.replay >= replay:
            return False
        await self.say("build again")
        plan = msgspec.structs.replace(progress.plan, replay=replay)
        dataset = await self._build(plan)
        progress.plan, progress.dataset, progress.forgot = plan, dataset, True
        progress.run = progress.version = ""
        progress.trained = False
        self._save()
        return True

    async def say(self, step: str) -> None:
        """Tell which step begins, and what there is so far."""
        progress = self._progress
        plan = progress.plan or Plan(replay=0)
        facts = {
            "step": step,
            "start": plan.start,
            "anew": plan.anew,
            "dataset": progress.dataset,
            "version": progress.version,
        }
        await self._tell({name: fact for name, fact in facts.items() if fact})

    async def _build(self, plan: Plan) -> str:
        request = msgspec.structs.replace(self._request, replay=plan.replay)
        return await self._steps.build(request)

    def _save(self) -> None:
        write_file(self._path, msgspec.json.encode(self._progress))


def _forgot(report: Report) -> bool:
    """Whether forgetting is all that keeps a version from passing: more replay helps then."""
    return {v.gate for v in report.verdicts if not passed([v])} == {"G3"}


def _read(path: Path) -> _Progress:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Progress)
    except FileNotFoundError:
        return _Progress()
    except (OSError, msgspec.DecodeError) as error:
        raise VersionError(
            f"{path} cannot be read ({error}): remove it to begin the job anew"
        ) from None
