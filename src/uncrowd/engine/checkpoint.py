"""The state of a run in one safetensors file: weights, optimiser, average, and the position in the data.

The file is written beside and moved into place, so a full disk or a kill leaves the checkpoint before it.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from uncrowd.errors import InputError
from uncrowd.models.weights import load_exactly, read_safetensors, write_safetensors

HEADER = "uncrowd.checkpoint"


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, average: AveragedModel | None, small: dict[str, Any]
) -> None:
    """Writes everything a run needs to go on. `small` is JSON: position, best score so far, what the data was."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in _optimizer_tensors(model, optimizer).items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_safetensors(path, host, {HEADER: json.dumps(small)})


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, average: AveragedModel | None
) -> dict[str, Any]:
    """Restores what `save_checkpoint` wrote and returns `small`.

    Raises InputError when the file is no checkpoint of a run, or of another model or optimiser.
    """
    tensors, header = read_safetensors(path)
    if HEADER not in header:
        raise InputError(f"{path} is no checkpoint of a run: it has no position in the data to go on from.")
    load_exactly(model, _under(tensors, "model."), str(path))
    if average is not None:
        load_exactly(average, _under(tensors, "average."), str(path))
    _restore_optimizer(model, optimizer, _under(tensors, "optimizer."), path)
    return json.loads(header[HEADER])


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
        # AdamW keeps its step count on the host unless it is fused
        on_host = key == "step" and not optimizer.defaults.get("fused")
        optimizer.state[parameter][key] = tensor.clone() if on_host else tensor.to(parameter.device)
