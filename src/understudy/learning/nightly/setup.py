"""The job of learning as the settings want it, for the server at night and the command by day.

Owns which options its steps are given. Does not own the steps (`steps`) nor their order
(`pipeline`).
"""

from understudy.brains.base import BrainError
from understudy.config import Settings
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.nightly.pipeline import Pipeline
from understudy.learning.nightly.schedule import Timetable
from understudy.learning.nightly.steps import LearnOptions, LocalSteps
from understudy.learning.training.errors import TrainingError
from understudy.learning.versions.errors import VersionError
from understudy.storage.engine import Database

EXPECTED = (DatasetError, TrainingError, VersionError, BrainError)
"""What keeps a job from being done, with a sentence for people."""


def pipeline_of(settings: Settings, database: Database) -> Pipeline:
    """What carries out a job with the data directory and the database of `settings`."""
    learning = settings.learning
    token = settings.brain.hf_api_key.get_secret_value()
    options = LearnOptions(
        new_replies=learning.new_replies,
        canary_share=learning.canary_share,
        environment={"HF_TOKEN": token} if token else {},
    )
    folder = settings.data_dir / "learning" / "jobs"
    return Pipeline(LocalSteps(settings, database, options), folder)


def timetable_of(settings: Settings) -> Timetable:
    """When it is done without being asked for."""
    learning = settings.learning
    return Timetable(
        every=learning.every,
        hour=learning.hour,
        weekday=learning.weekday,
        hours=learning.hours,
    )
