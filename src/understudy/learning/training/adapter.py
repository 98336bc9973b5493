"""The LoRA weights that are trained, and their files.

Owns PEFT on the side of training. Does not own how an adapter is served
(`brains.huggingface.adapters`), which reads the folders written here.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from understudy.brains.huggingface.adapters import CONFIG, WEIGHTS
from understudy.learning.training.base_model import BaseModel
from understudy.learning.training.errors import require
from understudy.learning.training.files import write_folder

Tensors = dict[str, Any]


def attach(model: Any, *, rank: int, alpha: int, dropout: float, seed: int) -> Any:
    """`model` with a fresh LoRA on all its linear layers, the only weights that are trained."""
    torch, peft = require("torch"), require("peft")
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    return peft.get_peft_model(model, config)


def trained_weights(model: Any) -> list[Any]:
    """The parameters that are trained, in an order that never changes."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def copy_weights(model: Any) -> Tensors:
    """The adapter's weights by name, on the CPU."""
    state = require("peft").get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: weight.detach().to("cpu", copy=True) for name, weight in state.items()}


def put_weights(model: Any, tensors: Tensors) -> None:
    """Give the adapter the weights that `copy_weights` returned."""
    require("peft").set_peft_model_state_dict(model, tensors)


def save(model: Any, tensors: Tensors, folder: Path, base: BaseModel) -> str:
    """Write `tensors` as an adapter of `base` into `folder`, whole or not at all.

    Returns the adapter's hash. The configuration names the base, never where it lies. Raises
    `TrainingError` when it cannot be written.
    """
    config = cast(dict[str, Any], model.peft_config["default"].to_dict())
    config["base_model_name_or_path"] = base.name
    config["inference_mode"] = True
    # The modules come as a set, whose order differs from process to process.
    config = {name: sorted(v) if isinstance(v, set) else v for name, v in config.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    content = require("safetensors.torch").save(tensors, metadata={"format": "pt"})
    write_folder(folder, {CONFIG: text.encode(), WEIGHTS: content})
    return hash_adapter(folder)


def hash_adapter(folder: Path) -> str:
    """SHA-256 over the adapter's two files."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
