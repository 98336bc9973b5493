"""The base and the machine it is trained on.

Owns what is decided by looking at both: number format, attention, packing, and whether activations
are computed twice to save memory. Does not own the loading itself (`brains.huggingface.loading`).
"""

import importlib.util
import logging
from collections.abc import Sequence
from typing import Any

from understudy.brains.huggingface.loading import (
    LoadOptions,
    LocalModel,
    choose_device,
    load_model,
)
from understudy.learning.training.encoding import Example
from understudy.learning.training.errors import TrainingError, require
from understudy.learning.training.job import Options
from understudy.learning.training.loop import Machine
from understudy.learning.training.losses import Losses
from understudy.learning.training.packing import Shape

_GPU_TOKENS = 8192
_CPU_TOKENS = 2048
_MEMORY_SHARE = 0.7
"""Of the free memory: what activations may take before they are computed twice instead."""
_PACKED_ERROR = 0.05
"""Nats by which rounding may change a packed token; what leaks from a neighbour is far more."""

_log = logging.getLogger(__name__)


def load_base(model: str, options: Options) -> LocalModel:
    """Load what is trained on; raises `TrainingError` and `BrainError`."""
    torch = require("torch")
    device = choose_device(torch, options.device)
    gpu = device.startswith("cuda")
    if options.quantization == "4bit":
        _check_quantization(gpu)
    # Half precision without a GPU made for it is slower, and its gradients vanish.
    dtype = "bfloat16" if gpu and torch.cuda.is_bf16_supported() else "float32"
    local = load_model(
        LoadOptions(model=model, device=device, quantization=options.quantization, dtype=dtype)
    )
    if gpu and importlib.util.find_spec("flash_attn") is not None:
        _use_flash_attention(local.model)
    return local


def choose_machine(
    local: LocalModel, adapted: Any, options: Options, sample: Sequence[Example]
) -> Machine:
    """How to run the loop for `adapted`; `sample` holds a few rows to try packing with."""
    gpu = local.device.startswith("cuda")
    packed = options.packing == "on" or (options.packing == "auto" and gpu)
    tokens = options.tokens_per_pass or (_GPU_TOKENS if gpu else _CPU_TOKENS)
    autocast = local.dtype if gpu and local.dtype != "float32" else ""
    machine = Machine(local.device, Shape(options.batch_size, tokens, packed), autocast)
    if packed and not packs_exactly(adapted, machine, sample):
        _log.warning("the model's attention does not keep packed rows apart: they are padded")
        machine = Machine(local.device, Shape(options.batch_size, tokens, False), autocast)
    if is_recomputed(local, options, tokens):
        _recompute(local.model)
    return machine


def packs_exactly(model: Any, machine: Machine, sample: Sequence[Example]) -> bool:
    """Whether rows that are packed have the losses that each has alone."""
    torch = require("torch")
    kind = machine.device.partition(":")[0]
    model.eval()
    with (
        torch.inference_mode(),
        torch.autocast(
            kind,
            dtype=getattr(torch, machine.autocast or "bfloat16"),
            enabled=bool(machine.autocast),
        ),
    ):
        losses = Losses(model, machine.device, packed=True)
        together, _ = losses.of_pass(sample)
        alone = torch.cat([losses.of_pass([example])[0] for example in sample])
    model.train()
    return bool((together - alone).abs().mean() < _PACKED_ERROR)


def is_recomputed(local: LocalModel, options: Options, tokens: int) -> bool:
    """Whether activations are computed twice: where they would fill the GPU's free memory."""
    if options.recompute != "auto":
        return options.recompute == "on"
    if not local.device.startswith("cuda"):
        return False
    free, _ = require("torch").cuda.mem_get_info()
    return activation_bytes(local.model.config, tokens) > free * _MEMORY_SHARE


def activation_bytes(config: Any, tokens: int) -> int:
    """About what the activations of a pass take in 16-bit numbers, all logits included.

    34 bytes per token, layer and channel with an attention that keeps no scores (Korthikanti 2022,
    eq. 2 without its attention term), and the logits in 32 bits with their gradient.
    """
    text = config.get_text_config(decoder=True)
    layers = 34 * tokens * int(text.hidden_size) * int(text.num_hidden_layers)
    return layers + 8 * tokens * int(text.vocab_size)


def _check_quantization(gpu: bool) -> None:
    if not gpu:
        raise TrainingError("a base in 4 bits needs an NVIDIA GPU: train without it")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingError("a base in 4 bits needs bitsandbytes: pip install bitsandbytes")


def _recompute(model: Any) -> None:
    # Without re-entry the gradient also flows where nothing before a layer is trained.
    how = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(how)
    else:
        model.gradient_checkpointing_enable(how)


def _use_flash_attention(model: Any) -> None:
    try:
        model.set_attn_implementation("flash_attention_2")
    except (ImportError, ValueError) as error:
        _log.warning("flash attention is installed but not used: %s", error)
