"""A training in the middle, on the disk.

Owns one file with everything that the next step depends on. Does not own when it is written
(`loop`). Tensors and JSON only: nothing in it can run code.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from understudy.learning.training.errors import TrainingError, require
from understudy.learning.training.files import write_file

FILE = "state.safetensors"

Tensors = dict[str, Any]


class Position(msgspec.Struct, kw_only=True):
    """How far a training is. Everything else follows from the job, the data and the base."""

    fingerprint: dict[str, Any]
    """What was asked and of what, so that no other training goes on from here."""
    step: int = 0
    seen: int = 0
    trained: int = 0
    computed: int = 0
    seconds: float = 0.0
    held_out_before: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    waited: int = 0
    """Evaluations since the best one."""


class Checkpoint(msgspec.Struct):
    """A position with the tensors that belong to it."""

    position: Position
    adapter: Tensors
    best: Tensors
    optimizer: Tensors
    chance: Tensors


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it in place of the former one, which stays when this fails with `TrainingError`."""
    groups = {
        "adapter": checkpoint.adapter,
        "best": checkpoint.best,
        "optimizer": checkpoint.optimizer,
        "chance": checkpoint.chance,
    }
    tensors = {
        f"{group}/{name}": tensor.contiguous()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    said = {"position": msgspec.json.encode(checkpoint.position).decode()}
    content = require("safetensors.torch").save(tensors, metadata=said)
    write_file(folder / FILE, content)


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint in `folder`, if there is one; raises `TrainingError` when it is damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    damage = (OSError, ValueError, KeyError, require("safetensors").SafetensorError)
    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        said = json.loads(content[8 : 8 + length])["__metadata__"]["position"]
        position = msgspec.json.decode(said, type=Position)
        tensors = require("safetensors.torch").load(content)
    except damage as error:
        raise TrainingError(
            f"the checkpoint in {folder} is damaged: begin anew in another folder"
        ) from error
    groups: dict[str, Tensors] = {"adapter": {}, "best": {}, "optimizer": {}, "chance": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = tensor
    return Checkpoint(position, **groups)


def pack_optimizer(optimizer: Any) -> Tensors:
    """The optimizer's moments by the number of their parameter."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value.detach().to("cpu", copy=True)
        for number, values in state.items()
        for name, value in values.items()
    }


def put_optimizer(optimizer: Any, tensors: Tensors) -> None:
    """Give the optimizer what `pack_optimizer` returned."""
    state: dict[int, Tensors] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def pack_chance() -> Tensors:
    """The state of the random numbers that dropout draws."""
    torch = require("torch")
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def put_chance(tensors: Tensors) -> None:
    """Go on drawing where `pack_chance` was called."""
    torch = require("torch")
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
