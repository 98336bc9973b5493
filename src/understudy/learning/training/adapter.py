"""The LoRA weights that are trained, and their files.

Owns PEFT on the side of training. Does not own how an adapter is served
(`brains.huggingface.adapters`), which reads the folders written here.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from understudy.brains.huggingface.adapters import CONFIG, WEIGHTS, check_folder
from understudy.learning.training.base_model import BaseModel
from understudy.learning.training.errors import TrainingError, require
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


def go_on(model: Any, folder: Path, *, dropout: float, seed: int) -> Any:
    """`model` with the LoRA in `folder`, of the rank it has, to be trained further.

    Raises `TrainingError` when it is of another model, and `BrainError` when it is no adapter.
    """
    check_folder(folder)
    torch, peft = require("torch"), require("peft")
    torch.manual_seed(seed)
    config = peft.PeftConfig.from_pretrained(str(folder))
    config.inference_mode, config.lora_dropout = False, dropout
    # PEFT compares names, which say nothing; the base is proved by its hash and by the sizes.
    config.base_model_name_or_path = None
    tensors = require("safetensors.torch").load_file(str(folder / WEIGHTS))
    misfit = TrainingError(
        f"the adapter in {folder} does not fit the base: go on from one that was trained on it"
    )
    try:
        adapted = peft.get_peft_model(model, config)
        without_place = put_weights(adapted, tensors)
    except (RuntimeError, ValueError) as error:
        # Other sizes, or other names of layers.
        raise misfit from error
    if without_place:
        raise misfit
    return adapted


def trained_weights(model: Any) -> list[Any]:
    """The parameters that are trained, in an order that never changes."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def copy_weights(model: Any) -> Tensors:
    """The adapter's weights by name, on the CPU."""
    state = require("peft").get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: weight.detach().to("cpu", copy=True) for name, weight in state.items()}


def put_weights(model: Any, tensors: Tensors) -> list[str]:
    """Give the adapter the weights that `copy_weights` returned; returns those without a place."""
    result = require("peft").set_peft_model_state_dict(model, tensors)
    return list(result.unexpected_keys)


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
