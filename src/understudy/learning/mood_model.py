"""The mood model at OpenAI, or at a server of its dialect: opened, and fine-tuned.

Owns which key goes there: that of OpenAI or of `brain.base_url`, never another provider's.
"""

from collections.abc import Sequence

from pydantic import SecretStr

from understudy.brains.base import Brain, BrainError
from understudy.brains.fine_tuning import FineTuningJob, start_fine_tuning
from understudy.brains.openai import make_openai
from understudy.config import Settings
from understudy.mood.chat_model import training_file
from understudy.mood.errors import MoodError
from understudy.mood.labels import LabelledLine

FEWEST_LINES = 10
"""Examples that OpenAI wants at least."""
_ANTHROPIC_PREFIX = "sk-ant-"


def open_mood_model(settings: Settings, model: str) -> Brain:
    """The `model` of OpenAI or of `brain.base_url`; raises `MoodError`."""
    changes = {"provider": "openai", "model": model, "api_key": SecretStr(_own_key(settings))}
    try:
        return make_openai(settings.brain.model_copy(update=changes), None)
    except BrainError as error:
        raise MoodError(str(error)) from None


async def fine_tune_mood_model(
    settings: Settings, lines: Sequence[LabelledLine], base: str
) -> FineTuningJob:
    """Start a job that fine-tunes the model `base` on `lines`; raises `MoodError`."""
    if len(lines) < FEWEST_LINES:
        raise MoodError(
            f"there are only {len(lines)} labelled messages and OpenAI takes no less than "
            f"{FEWEST_LINES}: label some more"
        )
    key = _own_key(settings) or settings.brain.openai_api_key.get_secret_value()
    if not key:
        raise MoodError("fine-tuning needs a key: set OPENAI_API_KEY")
    try:
        return await start_fine_tuning(
            training_file(lines),
            base,
            api_key=key,
            base_url=settings.brain.base_url,
            suffix="mood",
        )
    except BrainError as error:
        raise MoodError(str(error)) from None


def _own_key(settings: Settings) -> str:
    """`brain.api_key` if it belongs to OpenAI or to `brain.base_url`."""
    brain = settings.brain
    key = brain.api_key.get_secret_value()
    is_own = brain.provider in {"auto", "openai"} and not key.startswith(_ANTHROPIC_PREFIX)
    return key if is_own else ""
