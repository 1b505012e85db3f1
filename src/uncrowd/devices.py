"""Which device torch computes on, and the few things that each kind of device does in its own way."""

import torch
from torch import Tensor

from uncrowd.errors import InputError


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Returns the named device, or by default the best one here: a GPU (cuda), else the GPU of a Mac (mps), else cpu.

    name: "cpu", "cuda", "cuda:1" (the second GPU) or "mps". Raises InputError, which lists the devices that are there,
    for any other.
    """
    there = _devices()
    if name is None:
        return torch.device(there[-1].partition(":")[0])
    wanted = str(name)
    if wanted not in (*there, *(known.partition(":")[0] for known in there)):
        raise InputError(f"There is no device {wanted!r} here; give {', '.join(map(repr, there))}, or no device.")
    return torch.device(wanted)


def _devices() -> list[str]:
    """Returns the names of the devices that are there, the best kind last."""
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *(["mps"] if torch.backends.mps.is_available() else []), *gpus]


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns the tensor on the device. A GPU copies it meanwhile, if it comes from pinned memory.

    On mps such a copy would read memory that may already be used for something else.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def wait_for(device: torch.device) -> None:
    """Waits until the device has done all that it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
