"""The LoRA weights beside a model: put in, switched, taken out.

Owns PEFT, and belongs to the thread that owns the model. Does not own who may use which version
(`versions`).

One adapter is active at a time and a forward pass is for rows of one version: PEFT's mixed batches
(`adapter_names`) regroup rows, which changes their rounding with their company, and leave hooks
behind when a pass fails.
"""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from understudy.brains.base import BrainError
from understudy.brains.huggingface.loading import LocalModel, require
from understudy.storage.rows import BASE

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_log = logging.getLogger(__name__)


class Adapters:
    """The adapters of one model by version."""

    def __init__(self, local: LocalModel) -> None:
        self._local = local
        self._peft: Any = None
        self._keys: dict[str, str] = {}
        self._loaded = 0
        self._active = BASE

    def load(self, version: str, folder: Path) -> None:
        """Put the adapter in `folder` beside the model; raises `BrainError` and leaves no trace."""
        check_folder(folder)
        peft = require("peft")
        # PyTorch allows no dots in these names, and a name that was used before must not return.
        self._loaded += 1
        key = f"adapter{self._loaded}"
        try:
            self._attach(peft, folder, key)
        except Exception as error:
            self._detach(key)
            _log.warning("the adapter in %s was not loaded", folder, exc_info=error)
            raise BrainError(
                f"the adapter in {folder} does not fit {self._local.model.name_or_path}: "
                "load one that was trained on this model",
                kind="unknown_model",
            ) from error
        finally:
            self._restore()
        self._keys[version] = key

    def activate(self, version: str) -> None:
        """Make the next forward passes those of `version`."""
        if version == self._active:
            return
        if version == BASE:
            self._peft.base_model.disable_adapter_layers()
        else:
            if self._active == BASE:
                self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(self._keys[version], inference_mode=True)
        self._active = version

    def unload(self, version: str) -> None:
        """Take the weights of `version` out of memory."""
        if self._active == version:
            self.activate(BASE)
        self._detach(self._keys.pop(version))
        self._restore()

    def _attach(self, peft: Any, folder: Path, key: str) -> None:
        options: dict[str, Any] = {
            "adapter_name": key,
            "is_trainable": False,
            "autocast_adapter_dtype": False,
            "torch_device": self._local.device,
        }
        if self._peft is None:
            config = peft.PeftConfig.from_pretrained(str(folder))
            config.inference_mode = True
            self._peft = peft.PeftModel(
                self._local.model, config, adapter_name=key, autocast_adapter_dtype=False
            )
        result = self._peft.load_adapter(str(folder), **options)
        if result.unexpected_keys:
            raise ValueError(f"weights without a place: {result.unexpected_keys[:3]}")

    def _detach(self, key: str) -> None:
        """Remove what there is of an adapter, also of one that was only put in halfway."""
        if self._peft is None or key not in self._peft.peft_config:
            return
        if len(self._peft.peft_config) == 1:
            # PEFT cannot be left without an adapter: take it off the model as a whole.
            self._peft.unload()
            self._peft = None
            return
        other = next(name for name in self._peft.peft_config if name != key)
        self._peft.set_adapter(other, inference_mode=True)
        self._peft.delete_adapter(key)

    def _restore(self) -> None:
        """Switch back to the version that was active: PEFT switches on what it loads."""
        active, self._active = self._active, ""
        if self._peft is None:
            self._active = BASE
            return
        self._peft.base_model.enable_adapter_layers()
        self.activate(active)


def check_folder(folder: Path) -> None:
    """Raise `BrainError` unless `folder` holds a LoRA adapter that can stand beside others."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise BrainError(
                f"{folder} holds no adapter ({name} is not there): check the folder",
                kind="unknown_model",
            )
    with _readable(folder):
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        # Biases would be written into the model itself and change every other version.
        if config["peft_type"] == "LORA" and config.get("bias", "none") == "none":
            return
    raise BrainError(
        f"the adapter in {folder} is of a kind that cannot be loaded: use LoRA without biases",
        kind="refused",
    )


@contextmanager
def _readable(folder: Path) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BrainError(
            f"{folder / CONFIG} cannot be read: export the adapter again", kind="unknown_model"
        ) from None
