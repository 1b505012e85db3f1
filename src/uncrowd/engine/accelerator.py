"""The device of this process, and its part among the processes of a distributed run."""

import warnings

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from uncrowd.devices import choose_device
from uncrowd.errors import InputError
from uncrowd.ranks import launched


def build_accelerator(device: str | None = None) -> Accelerator:
    """Returns the device and the rank of this process, as `torchrun` or `accelerate launch` set them.

    device: see `choose_device`. Several processes compute on a GPU each or on the CPU. Raises InputError when there is
    no such device, and when several processes would share one. Precision is not left to accelerate, because it would
    replace `forward`; training uses autocast instead.
    """
    chosen = choose_device(device)
    alone = launched().size == 1
    if not alone and (chosen.type == "mps" or chosen.index is not None):
        if device is not None:
            raise InputError(
                f"Several processes cannot train on one device, {device}; give 'cuda', 'cpu', or no device."
            )
        chosen = torch.device("cpu")
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    accelerator = Accelerator(cpu=chosen.type == "cpu", mixed_precision="no", kwargs_handlers=[kwargs])
    if alone:
        accelerator.state.device = chosen  # type: ignore[attr-defined]  # accelerate itself knows no second GPU
    return accelerator


def distribute(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Returns the model, wrapped so that its gradients are averaged over the ranks if there are several."""
    with warnings.catch_warnings():
        # torch 2.14 has another name for the argument, which older versions do not know
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return accelerator.prepare_model(model)
