"""The mood model at OpenAI, or at a server of its dialect: opened, and what it is trained on.

Does not own the training (`providers.openai`) nor which key goes there (`providers.account`).
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from understudy.brains.base import Brain, BrainError
from understudy.brains.openai import make_openai
from understudy.config import Settings
from understudy.learning.providers.account import own_key
from understudy.learning.providers.openai import HostedTraining
from understudy.learning.training.files import write_file
from understudy.mood.chat_model import training_rows
from understudy.mood.errors import MoodError
from understudy.mood.labels import LabelledLine

_ROWS = "mood.jsonl"


def open_mood_model(settings: Settings, model: str) -> Brain:
    """The `model` of OpenAI or of `brain.base_url`; raises `MoodError`."""
    changes = {"provider": "openai", "model": model, "api_key": SecretStr(own_key(settings))}
    try:
        return make_openai(settings.brain.model_copy(update=changes), None)
    except BrainError as error:
        raise MoodError(str(error)) from None


def mood_training(lines: Sequence[LabelledLine], base: str, folder: Path) -> HostedTraining:
    """What to ask of OpenAI so that the model `base` learns to label like `lines`.

    Its rows are written into `folder`; raises `TrainingError`.
    """
    write_file(folder / _ROWS, training_rows(lines))
    return HostedTraining(data=str(folder / _ROWS), model=base, suffix="mood", teaches="mood")
