"""The ranks and the device of this process."""

import warnings

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from uncrowd.errors import InputError


def build_accelerator(device: str | None = None) -> Accelerator:
    """Returns the ranks and the device of this process, as `torchrun` or `accelerate launch` set them.

    device: "cpu", "cuda", or by default the GPU where there is one. Raises InputError where there is no such device.
    Precision is not left to accelerate, which would rewrite `forward`; it is a plain autocast around it.
    """
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    on_cpu = device == "cpu" or not torch.cuda.is_available()  # accelerate would choose the GPU of a Mac
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no", kwargs_handlers=[kwargs])
    if device not in (None, accelerator.device.type):
        raise InputError(f"There is no device {device!r} here, only {accelerator.device.type!r}; name that or none.")
    return accelerator


def distribute(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Returns the model so wrapped that its gradients are averaged over the ranks; itself where there is only one."""
    with warnings.catch_warnings():
        # torch 2.14 has another name for it, which older ones do not know
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return accelerator.prepare_model(model)
