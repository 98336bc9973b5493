"""A night of learning on a real database, with a real trainer and real gates, on a tiny model."""

import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.serving import settings_for
from tests.tiny_model import build_model
from understudy.config import Settings
from understudy.events import now_ms
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.datasets.store import Datasets
from understudy.learning.evaluation.judging import registry_of
from understudy.learning.gates import suite
from understudy.learning.gates.limits import Limits
from understudy.learning.nightly.pipeline import LearnRequest, Pipeline, Plan
from understudy.learning.nightly.schedule import KIND
from understudy.learning.nightly.steps import LearnOptions, LocalSteps
from understudy.learning.nightly.worker import JobWorker
from understudy.learning.training.errors import TrainingError
from understudy.learning.training.job import Options
from understudy.learning.versions.deploying import Deploying
from understudy.storage.engine import Database
from understudy.storage.evidence import viewer_hash
from understudy.storage.jobs import Jobs
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ExperienceRow
from understudy.storage.tables import erasure
from understudy.storage.versions import ModelVersions

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
SYLLABLES = ["ba", "ko", "ri", "tu", "me", "lo", "sa", "ni", "ve", "du"]
START = 1_760_000_000_000
"""When it was said (ms): fixed, for the time of a conversation decides whether it is held out."""
OPTIONS = LearnOptions(
    new_replies=200,
    canary_share=0.2,
    training=Options(epochs=3, learning_rate=1e-2, batch_size=8),
    limits=Limits(train_rows=50, held_out_rows=5, sessions=2, drift=2.0),
    environment={"OMP_NUM_THREADS": "1"},
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    return build_model(tmp_path_factory.mktemp("steps") / "base")


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "data", brain__hf_model=str(base), brain__device="cpu")


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = await Database.open(settings.database_url)
    yield opened
    await opened.close()


async def talk(database: Database, count: int, start: int) -> None:
    """Exchanges of forty sessions and viewers, no two of them alike but in their taste."""
    chance = random.Random(start)

    def words(count: int) -> str:
        return " ".join("".join(chance.choices(SYLLABLES, k=3)) for _ in range(count))

    log = LogWriter(database)
    await log.start()
    for number in range(count):
        text = words(6)
        row = ExperienceRow(
            id=f"run{start}-{number}",
            ts=start + number,
            channel="ada",
            session=f"s{number % 40}",
            user=f"chatter_{number % 40}",
            persona="default",
            model="tiny",
            prompt_messages=[{"role": "user", "content": text}],
            prompt_text=text,
            response=f"{words(5)} so good!",
            status="complete",
        )
        await log.put(row)
    await log.close()


async def test_a_night_ends_with_a_canary(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = suite.built_in_suite()[::12]
    monkeypatch.setattr(suite, "built_in_suite", lambda: few)
    steps = LocalSteps(settings, database, OPTIONS)
    jobs = Jobs(database)
    pipeline = Pipeline(steps, settings.data_dir / "learning" / "jobs")
    worker = JobWorker(jobs, {KIND: pipeline.handle}, expected=(DatasetError,))

    await jobs.enqueue(KIND, {"window": "2026-11-20"})
    await worker.work_once()
    (skipped,) = await jobs.recent()
    assert skipped.result["ended"] == "skipped"
    assert skipped.result["reason"] == "0 new replies, 200 are worth a training"

    await talk(database, 320, START)
    await jobs.enqueue(KIND, {"window": "2026-11-21"})
    await worker.work_once()
    done = (await jobs.recent())[0]
    assert done.state == "done", done.result
    assert done.result["ended"] == "canary", done.result
    assert done.result["version"] == "all@1"
    versions = ModelVersions(database)
    (version,) = await versions.list()
    assert (version.state, version.dataset) == ("canary", done.result["dataset"])
    (deployment,) = await versions.deployments()
    assert (deployment.version, deployment.before, deployment.share) == ("all@1", "base", 0.2)
    assert deployment.actor == "understudy"
    assert deployment.reason == "it passed the gates against base"
    report = json.loads((settings.data_dir / "models" / "all@1" / "eval.json").read_bytes())
    assert report["passed"] is True

    await jobs.enqueue(KIND, {"window": "2026-11-22"})
    await worker.work_once()
    assert (await jobs.recent())[0].result["ended"] == "skipped"

    assert await steps.plan(LearnRequest()) == Plan(replay=0.25)
    await Deploying(registry_of(settings, database)).promote("all@1", actor="ada")
    assert await steps.plan(LearnRequest()) == Plan(start="all@1", replay=0.25)
    async with database.write() as connection:
        tombstone = {"viewer_hash": viewer_hash("chatter_7"), "channel": "", "ts": now_ms()}
        await connection.execute(insert(erasure).values(tombstone))
    plan = await steps.plan(LearnRequest())
    assert (plan.start, plan.replay) == ("", 0.9)
    assert re.fullmatch(r"all@1 learned from \d+ rows that were withdrawn since", plan.anew)


async def test_what_a_failed_job_left_hides_no_rows(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk(database, 240, START)
    steps = LocalSteps(settings, database, OPTIONS)
    jobs = Jobs(database)
    pipeline = Pipeline(steps, settings.data_dir / "learning" / "jobs")
    worker = JobWorker(jobs, {KIND: pipeline.handle}, expected=(TrainingError,))

    async def break_down(*_: object) -> None:
        raise TrainingError("the disk is full")

    monkeypatch.setattr(steps, "train", break_down)
    await jobs.enqueue(KIND, {})
    await worker.work_once()
    (failed,) = await jobs.recent()
    assert failed.result == {"error": "the disk is full"}
    (first,) = Datasets(settings.data_dir / "learning" / "datasets").manifests()
    assert await steps.too_little(LearnRequest()) == ""
    folder = settings.data_dir / "learning" / "datasets"
    second = folder / await steps.build(LearnRequest())
    assert (folder / first.id / "train.jsonl").read_bytes() == (second / "train.jsonl").read_bytes()


async def test_an_attempt_that_came_to_nothing_hides_no_rows(
    settings: Settings, database: Database
) -> None:
    await talk(database, 240, 1_000)
    steps = LocalSteps(settings, database, OPTIONS)
    queued = now_ms()
    first = await steps.build(LearnRequest(queued=queued))
    # Killed before it could note the dataset, the job builds another one of the same rows.
    second = await steps.build(LearnRequest(queued=queued))
    folder = settings.data_dir / "learning" / "datasets"
    assert first != second
    assert (folder / first / "train.jsonl").read_bytes() == (
        (folder / second / "train.jsonl").read_bytes()
    )
    with pytest.raises(DatasetError):
        await steps.build(LearnRequest())
