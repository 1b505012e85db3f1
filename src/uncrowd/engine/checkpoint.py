"""Saves and restores the state of a run in one safetensors file: weights, average, optimiser and position in the data.

The new file replaces the previous checkpoint only once it is complete, so a full disk or a kill leaves that one.
"""

import json
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from uncrowd.config import differences, read_json
from uncrowd.errors import InputError
from uncrowd.weights.file import load_exactly, read_safetensors, write_safetensors

HEADER = "uncrowd.checkpoint"
SHOWN_DIFFERENCES = 6

# What a checkpoint and the run that continues from it must share, as JSON.
Facts = dict[str, Any]


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    average: nn.Module | None,
    *,
    facts: Facts,
    progress: dict[str, Any],
) -> None:
    """Writes everything that a run needs to continue.

    facts: JSON that a resumed run must share, such as configuration and data. progress: JSON that says how far the run
    has come. Raises InputError when the file cannot be written; an older file then stays as it is.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in _optimizer_tensors(model, optimizer).items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    write_safetensors(path, tensors, {HEADER: json.dumps({"facts": facts, "progress": progress})})


def facts_of(path: Path) -> Facts | None:
    """Returns the facts of a checkpoint without reading its tensors; None where there is no checkpoint."""
    try:
        with safetensors.safe_open(path, framework="np") as opened:
            return read_json((opened.metadata() or {})[HEADER])["facts"]
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return None


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    average: nn.Module | None,
    *,
    facts: Facts,
    may_differ: Container[str] = (),
    completed: Callable[[Facts], Facts] = dict,
) -> dict[str, Any]:
    """Restores what `save_checkpoint` wrote and returns `progress`.

    may_differ: dotted names of those facts that the checkpoint need not share. completed: given the facts of the
    checkpoint, adds those that an earlier version did not write. Raises InputError, before anything is restored, when
    the file is no checkpoint, is damaged, or belongs to a run with other facts.
    """
    tensors, header = read_safetensors(path)
    if HEADER not in header:
        raise InputError(
            f"{path} is no checkpoint of a run, because it has no position in the data; "
            "weights alone can begin a new run with --start-from."
        )
    try:
        small = read_json(header[HEADER])
        saved, progress = completed(small["facts"]), small["progress"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} has a damaged description of its run ({error!r}); begin a new run.") from error
    saved, given = (json.loads(json.dumps(each)) for each in (saved, facts))  # tuples become lists
    differing = [
        f"{name} was {_short(was)} and is {_short(now)}"
        for name, was, now in differences(saved, given)
        if name not in may_differ
    ]
    if differing:
        more = f" and {len(differing) - SHOWN_DIFFERENCES} more" if len(differing) > SHOWN_DIFFERENCES else ""
        raise InputError(
            f"{path} belongs to a run that differs: {', '.join(differing[:SHOWN_DIFFERENCES])}{more}; "
            "resume it with the settings and data it began with, or begin a new run."
        )
    load_exactly(model, _under(tensors, "model."), str(path))
    if average is not None:
        load_exactly(average, _under(tensors, "average."), str(path))
    _restore_optimizer(model, optimizer, _under(tensors, "optimizer."), path)
    return progress


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_optimizer(model: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor], path: Path) -> None:
    by_name = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        key, name = full_name.split(".", 1)
        parameter = by_name.get(name)
        if parameter is None or (tensor.dim() and tensor.shape != parameter.shape):
            raise InputError(f"{path} holds optimiser state for {name}, which the model does not have in that shape.")
        if key == "step":  # AdamW keeps the count on the host unless it is fused
            fused = optimizer.defaults.get("fused")
            optimizer.state[parameter][key] = tensor.to(parameter.device) if fused else tensor.clone()
        else:  # in the memory layout of its parameter; otherwise each update would be slower
            optimizer.state[parameter][key] = torch.empty_like(parameter).copy_(tensor)
