"""Which model an adapter belongs to.

Owns the identity of a base: what it is called and a hash that two folders share only when an
adapter of the one fits the other. Does not own loading (`brains.huggingface.loading`).
"""

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from understudy.brains.huggingface.loading import find_source
from understudy.learning.training.errors import TrainingError, reason_of, require

_READ = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files whose content decides what tokens mean and how a conversation is written."""
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


class BaseModel(msgspec.Struct, frozen=True):
    """A base: its name for people, and its hash."""

    name: str
    hash: str


def identify(folder: Path, name: str = "") -> BaseModel:
    """The identity of the model in `folder`, called `name` (the folder's name when empty).

    The hash is SHA-256 over the configuration, the tokenizer, the chat template, and the names and
    sizes of the weights: reading gigabytes of them would take longer than most trainings. Raises
    `TrainingError` when there is no model.
    """
    if not (folder / "config.json").is_file():
        raise TrainingError(f"{folder} holds no model (config.json is not there): check the base")
    digest = hashlib.sha256()
    try:
        for file in _READ:
            if (folder / file).is_file():
                content = (folder / file).read_bytes()
                digest.update(f"{file} {len(content)}\n".encode())
                digest.update(content)
        for path in sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern)):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    except OSError as error:
        raise TrainingError(
            f"the model in {folder} cannot be read ({reason_of(error)}): check the folder"
        ) from error
    return BaseModel(name or folder.resolve().name, digest.hexdigest())


def locate(model: str) -> Path:
    """The folder of `model`, which is a folder or the id of a model that was loaded before.

    Raises `TrainingError` for an id that is not on this machine and `BrainError` for a folder
    without a model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Path(find_source(model))
    find = require("transformers.utils").cached_file
    found = None
    # The hub's library refuses what cannot be the name of a model.
    with suppress(OSError, ValueError):
        found = find(
            model, "config.json", local_files_only=True, _raise_exceptions_for_missing_entries=False
        )
    if found is None:
        raise TrainingError(
            f"the model {model} is not on this machine: load it once, or give a folder"
        )
    return Path(found).parent
