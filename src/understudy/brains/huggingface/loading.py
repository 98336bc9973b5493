"""Loads a model and its tokenizer from a folder or by its id.

Owns device, number format, quantisation and what every failure of a load is called. Does not own
what is done with the model (`engine`). No code of a model's repository is ever executed.
"""

import importlib
import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from understudy.brains.base import BrainError, ErrorKind
from understudy.brains.huggingface.sampling import Sampling

UNLIMITED_WINDOW = 1_000_000
"""Tokenizers without a limit say 1e30; anything above this means that nobody knows."""
DEFAULT_WINDOW = 2_048
_MODEL_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")

_log = logging.getLogger(__name__)


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to load and where to; the fields mean what they mean in `[brain]`."""

    model: str
    token: str = ""
    device: str = "auto"
    quantization: str = "auto"
    dtype: str = "auto"
    """Number format of the weights as torch names it; auto suits the device."""


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model ready to run. Only the thread that loaded it may touch `model` and `tokenizer`."""

    model: Any
    tokenizer: Any
    device: str
    dtype: str
    quantization: str
    window: int
    """Most tokens of prompt and reply together."""
    end_tokens: frozenset[int]
    defaults: Sampling
    """How the model's makers want it sampled."""


def require(module: str) -> Any:
    """Import a module of the extra; raises `BrainError` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise _not_installed(missing) from None


def check_installed() -> None:
    """Raise `BrainError` when the extra is not installed, without importing it."""
    for module in ("torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            raise _not_installed(module)


def load_model(options: LoadOptions) -> LocalModel:
    """Load the model; raises `BrainError`. Takes seconds to minutes, or a download."""
    torch, transformers = require("torch"), require("transformers")
    require("transformers.utils.logging").disable_progress_bar()
    torch.set_num_threads(compute_threads())
    source = find_source(options.model)
    device = choose_device(torch, options.device)
    quantization = choose_quantization(options.quantization, device)
    dtype = choose_dtype(torch, options.dtype, device)
    common: dict[str, Any] = {"token": options.token or None, "trust_remote_code": False}
    extra: dict[str, Any] = {"device_map": {"": device}} if device != "cpu" else {}
    if quantization != "none":
        extra["quantization_config"] = _quantized(transformers, torch, quantization, dtype)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **common)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, dtype), **extra, **common
        )
    except Exception as error:
        raise explain_load(options.model, error) from error
    model.eval()
    model.requires_grad_(False)
    return LocalModel(
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        quantization=quantization,
        window=_window(model, tokenizer),
        end_tokens=_end_tokens(model, tokenizer),
        defaults=Sampling.of_model(model.generation_config),
    )


def compute_threads() -> int:
    """Threads for the arithmetic: all cores but one, which answers everyone else.

    Threads of a matrix product wait for each other, so one that shares its core with the event loop
    holds all of them up: on a busy machine with two cores, two threads took six times as long as
    one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) - 1)


def find_source(model: str) -> str:
    """The folder or the id `model` names; raises `BrainError` for what can be neither."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise BrainError(
                f"{model} holds no model (config.json is not there): check brain.model",
                kind="unknown_model",
            )
        return str(folder)
    if _MODEL_ID.fullmatch(model) and not model.startswith("."):
        return model
    raise BrainError(
        f"the model folder {model} is not there: check brain.model", kind="unknown_model"
    )


def choose_device(torch: Any, wanted: str) -> str:
    """The torch device for `brain.device`; raises `BrainError` for one that is not there."""
    gpu, apple = bool(torch.cuda.is_available()), bool(torch.backends.mps.is_available())
    if wanted == "auto":
        return "cuda" if gpu else "mps" if apple else "cpu"
    there = {"cpu": True, "mps": apple}.get(wanted, gpu and wanted.startswith("cuda"))
    if not there:
        raise BrainError(
            f"brain.device is {wanted}, but this machine has none: set it to auto", kind="refused"
        )
    return wanted


def choose_dtype(torch: Any, wanted: str, device: str) -> str:
    """The number format that `device` computes fast, or the one that is wanted."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    if device == "mps":
        return "float16"
    # Without the instruction a CPU converts every number, which is slower than float32.
    return "bfloat16" if torch.cpu.get_capabilities().get("avx512_bf16") else "float32"


def choose_quantization(wanted: str, device: str) -> str:
    """`none`, `4bit` or `8bit`; raises `BrainError` where the wanted one cannot work."""
    if wanted in {"auto", "none"}:
        return "none"
    if not device.startswith("cuda"):
        raise BrainError(
            f"brain.quantization {wanted} needs an NVIDIA GPU: set it to none", kind="refused"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BrainError(
            f"brain.quantization {wanted} needs bitsandbytes: pip install bitsandbytes",
            kind="refused",
        )
    return wanted


def explain_load(model: str, error: Exception) -> BrainError:
    """The one sentence for a failed load."""
    names = {type(cause).__name__ for cause in _causes(error)}
    kind: ErrorKind = "unknown_model"
    if "OutOfMemoryError" in names or isinstance(error, MemoryError):
        kind, why = "failed", "does not fit into memory: choose a smaller one"
    elif "GatedRepoError" in names:
        kind, why = (
            "unauthorized",
            "may only be loaded with a token that has access: set HF_API_KEY",
        )
    elif names & {"RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError"}:
        why = "is not known to the model hub: check brain.model, or set HF_API_KEY if it is private"
    elif names & {"OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError"}:
        kind = "unavailable"
        why = "is not on this machine and the model hub cannot be reached: give a model folder"
    elif isinstance(error, ImportError):
        kind, why = "refused", "needs a package that is not installed: details are in the log"
    else:
        why = "cannot be loaded as a language model: details are in the log"
    _log.warning("the model %s: %s: %s", model, type(error).__name__, error)
    # A load takes so long that trying it again is for people to decide.
    return BrainError(f"the model {model} {why}", kind=kind, retryable=False)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _not_installed(missing: str) -> BrainError:
    return BrainError(
        f"a local model needs {missing}: pip install 'understudy[huggingface]'", kind="refused"
    )


def _quantized(transformers: Any, torch: Any, quantization: str, dtype: str) -> Any:
    if quantization == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def _window(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config(decoder=True)
    limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    known = [int(limit) for limit in limits if limit and 0 < limit <= UNLIMITED_WINDOW]
    return min(known, default=DEFAULT_WINDOW)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    named: object = model.generation_config.eos_token_id
    listed = cast(list[int], named) if isinstance(named, list) else [cast(int | None, named)]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
