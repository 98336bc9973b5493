"""The order of learning: what is done, what is done again, and how it can end."""

from pathlib import Path
from typing import Any

import pytest

from understudy.learning.evaluation.evaluator import Report
from understudy.learning.gates.verdict import Verdict, passed
from understudy.learning.nightly.pipeline import LearnRequest, Outcome, Pipeline, Plan
from understudy.learning.nightly.worker import JobWorker
from understudy.learning.versions.errors import VersionError
from understudy.storage.engine import Database
from understudy.storage.jobs import Jobs

REQUEST = LearnRequest(channel="ada", replay=0.25)


class Killed(BaseException):
    """What ends a process."""


class Steps:
    """Steps that only note what was done; `fails` are gates by version, `dies` where it ends."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: dict[str, list[str]] = {}
        self.dies = ""
        self.little = ""
        self.start = ""
        self.replay = 0.0

    async def too_little(self, request: LearnRequest) -> str:
        return self.little

    async def plan(self, request: LearnRequest) -> Plan:
        return Plan(start=self.start, replay=self.replay or request.replay)

    async def build(self, request: LearnRequest) -> str:
        self._note(f"build {request.replay:g}")
        return "d2" if request.replay > 0.25 else "d1"

    async def train(self, dataset: str, run: str, start: str, tell: Any) -> None:
        await tell({"training": {"step": 1}})
        self._note(f"train {dataset} in {run}{f' from {start}' if start else ''}")

    async def register(self, run: str, channel: str) -> str:
        self._note(f"register {run}")
        return f"{channel}@{2 if 'd2' in run else 1}"

    async def evaluate(self, version: str) -> Report:
        self._note(f"evaluate {version}")
        failing = self.fails.get(version, [])
        verdicts = [
            Verdict(gate, gate not in failing, f"says {gate}")  # type: ignore[arg-type]
            for gate in ("G0", "G1", "G2", "G3", "G4", "G5")
        ]
        return Report(
            version=version, against="base", ts=1, passed=passed(verdicts), verdicts=verdicts
        )

    async def try_out(self, version: str, reason: str) -> None:
        self._note(f"try out {version}")

    def _note(self, what: str) -> None:
        self.done.append(what)
        if what == self.dies:
            self.dies = ""
            raise Killed


TOLD: list[dict[str, Any]] = []


@pytest.fixture(autouse=True)
def told() -> list[dict[str, Any]]:
    TOLD.clear()
    return TOLD


async def learn(steps: Steps, folder: Path, job: int = 7) -> Outcome:
    async def tell(facts: dict[str, Any]) -> None:
        TOLD.append(facts)

    return await Pipeline(steps, folder).learn(job, REQUEST, tell)


GOOD_NIGHT = [
    "build 0.25",
    "train d1 in job7-d1",
    "register job7-d1",
    "evaluate ada@1",
    "try out ada@1",
]


async def test_a_good_night_ends_with_a_canary(tmp_path: Path) -> None:
    steps = Steps()
    outcome = await learn(steps, tmp_path)
    assert steps.done == GOOD_NIGHT
    assert outcome == Outcome(
        ended="canary", reason="it passed the gates against base", dataset="d1", version="ada@1"
    )
    assert [facts.get("step") for facts in TOLD if "step" in facts] == [
        *("build", "train", "register", "evaluate", "try out")
    ]
    assert TOLD[-1] == {"step": "try out", "dataset": "d1", "version": "ada@1"}


async def test_a_job_of_the_queue_says_what_to_learn(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    steps = Steps()
    pipeline = Pipeline(steps, tmp_path)
    jobs = Jobs(database)
    queued = await jobs.enqueue("learn", {"channel": "ada", "window": "2026-W47"})
    await JobWorker(jobs, {"learn": pipeline.handle}).work_once()
    done = await jobs.get(queued.id)
    assert done is not None
    assert done.result == {
        "ended": "canary",
        "reason": "it passed the gates against base",
        "dataset": "d1",
        "version": "ada@1",
    }
    await database.close()


async def test_too_little_is_skipped_with_the_reason(tmp_path: Path) -> None:
    steps = Steps()
    steps.little = "12 new replies, 300 are worth a training"
    outcome = await learn(steps, tmp_path)
    assert (outcome.ended, outcome.reason, steps.done) == ("skipped", steps.little, [])


async def test_a_gate_ends_it(tmp_path: Path) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G2", "G4"]}
    outcome = await learn(steps, tmp_path)
    assert (outcome.ended, outcome.version) == ("blocked", "ada@1")
    assert outcome.reason == "G2 says G2; G4 says G4"
    assert "try out ada@1" not in steps.done


async def test_the_soft_gate_does_not(tmp_path: Path) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G5"]}
    assert (await learn(steps, tmp_path)).ended == "canary"


AGAIN = [
    "build 0.5",
    "train d2 in job7-d2",
    "register job7-d2",
    "evaluate ada@2",
]


async def test_what_forgets_is_tried_once_more_with_more_replay(tmp_path: Path) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G3"]}
    outcome = await learn(steps, tmp_path)
    assert steps.done == [*GOOD_NIGHT[:-1], *AGAIN, "try out ada@2"]
    assert (outcome.version, outcome.dataset) == ("ada@2", "d2")


async def test_not_twice(tmp_path: Path) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G3"], "ada@2": ["G3"]}
    outcome = await learn(steps, tmp_path)
    assert steps.done == [*GOOD_NIGHT[:-1], *AGAIN]
    assert (outcome.ended, outcome.version) == ("blocked", "ada@2")


@pytest.mark.parametrize("step", [*GOOD_NIGHT[:-1], *AGAIN, "try out ada@2"])
async def test_a_killed_worker_is_gone_on_from_where_it_was(tmp_path: Path, step: str) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G3"]}
    steps.dies = step
    with pytest.raises(Killed):
        await learn(steps, tmp_path)
    outcome = await learn(steps, tmp_path)
    assert (outcome.ended, outcome.version) == ("canary", "ada@2")
    # Only what was not done is done again, apart from judging, which changes nothing.
    repeated = {what for what in steps.done if steps.done.count(what) > 1}
    assert {what for what in repeated if not what.startswith("evaluate")} <= {step}


async def test_a_version_is_gone_on_from(tmp_path: Path) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G3"]}
    steps.start = "ada@0"
    await learn(steps, tmp_path)
    trained = [what for what in steps.done if what.startswith("train")]
    assert trained == ["train d1 in job7-d1 from ada@0", "train d2 in job7-d2 from ada@0"]
    assert {"step": "build", "start": "ada@0"} in TOLD


async def test_as_much_replay_as_there_is_cannot_be_more(tmp_path: Path) -> None:
    steps = Steps()
    steps.fails = {"ada@1": ["G3"], "ada@2": ["G3"]}
    steps.replay = 0.9
    outcome = await learn(steps, tmp_path)
    assert outcome.ended == "blocked"
    assert sum(what.startswith("train") for what in steps.done) == 1


async def test_another_job_begins_anew(tmp_path: Path) -> None:
    steps = Steps()
    await learn(steps, tmp_path)
    await learn(steps, tmp_path, job=8)
    assert steps.done.count("build 0.25") == 2


async def test_unreadable_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "7.json").write_text("{")
    with pytest.raises(VersionError, match="remove it to begin the job anew"):
        await learn(Steps(), tmp_path)
