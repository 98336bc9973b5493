"""What can go wrong with a training, and packages that may be missing."""

import importlib
from typing import Any


class TrainingError(Exception):
    """A training cannot start or go on; the message is one sentence."""


class ClaimedError(TrainingError):
    """Another trainer is at work in the folder, which must be left alone."""


class TrainingStopped(Exception):
    """Somebody asked the training to stop; its checkpoint is on the disk."""


def require(module: str, extra: str = "train") -> Any:
    """Import a module of an extra; raises `TrainingError` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise TrainingError(
            f"training needs {missing}: pip install 'understudy[{extra}]'"
        ) from None


def reason_of(error: OSError) -> str:
    """Why the system refused, in its own words, as part of a sentence."""
    return (error.strerror or type(error).__name__).lower()
