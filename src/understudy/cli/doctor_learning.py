"""The doctor's check of learning: whether it can, what came of it last, and what must be redone."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from understudy.cli.findings import Check, Finding
from understudy.cli.learn import outcome_of
from understudy.cli.terminal import missing_database

if TYPE_CHECKING:
    from understudy.config import Settings
    from understudy.storage.engine import Database


async def _learning(settings: "Settings") -> Finding:
    when = settings.learning.every
    if when != "off" and (missing := _missing()):
        fix = "pip install 'understudy[train]'"
        return Finding("learning", "broken", f"{when} cannot be trained without {missing}: {fix}")
    schedule = "only when told to: set learning.every" if when == "off" else f"every {when}"
    from understudy.storage.engine import Database
    from understudy.storage.errors import StorageError

    if missing_database(settings):
        return Finding("learning", "ok", schedule)
    try:
        database = await Database.open(settings.database_url, migrate=False)
    except StorageError:
        # The line of the database says why.
        return Finding("learning", "ok", schedule)
    try:
        if await database.check():
            return Finding("learning", "ok", schedule)
        state, last = await _last(database)
        stale = await _stale(settings, database)
    finally:
        await database.close()
    if stale:
        return Finding("learning", "warning", f"{stale}: the next training begins at the base")
    return Finding("learning", state, f"{schedule}{last}")


def _missing() -> str:
    """The first package that training needs and that is not installed."""
    return next((name for name in ("torch", "transformers", "peft") if not find_spec(name)), "")


async def _last(database: "Database") -> tuple[str, str]:
    """The state and the words of what was learned last."""
    from understudy.learning.nightly.schedule import KIND
    from understudy.storage.jobs import Jobs

    for job in await Jobs(database).recent(KIND, limit=1):
        return "warning" if job.state == "failed" else "ok", f"; last time {outcome_of(job)}"
    return "ok", ""


async def _stale(settings: "Settings", database: "Database") -> str:
    """What a live version learned from and must be known no longer; empty when there is nothing."""
    from functools import partial

    from understudy.learning.datasets.store import Datasets
    from understudy.learning.evaluation.judging import originate, registry_of
    from understudy.learning.versions.deploying import current_version
    from understudy.learning.versions.lineage import Lineage

    registry = registry_of(settings, database)
    datasets = Datasets(settings.data_dir / "learning" / "datasets")
    lineage = Lineage(registry, datasets, partial(originate, database))
    channels = {row.channel for row in await registry.versions.deployments()}
    for channel in sorted(channels):
        live = await current_version(registry.versions, channel)
        if withdrawn := await lineage.withdrawn(live):
            return withdrawn
    return ""


LEARNING_CHECKS: tuple[Check, ...] = (_learning,)
