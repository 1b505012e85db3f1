"""The device of this process, and its part among the processes of a distributed run."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn
from torch.distributed import DistError

from uncrowd.devices import choose_device
from uncrowd.errors import InputError, PeerLostError

# What gloo, which connects processes on CPUs, reports as a plain RuntimeError.
_CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo")


def build_accelerator(device: str | None = None) -> Accelerator:
    """Returns the device and the rank of this process, as `torchrun` or `accelerate launch` set them.

    device: see `choose_device`. Several processes compute on a GPU each or on the CPU. Raises InputError when there is
    no such device, and when several processes would share one. Precision is not left to accelerate, because it would
    replace `forward`; training uses autocast instead.
    """
    chosen = choose_device(device)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if not alone and (chosen.type == "mps" or chosen.index is not None):
        if device is not None:
            raise InputError(f"Several processes cannot train on one device, {device}; give 'cuda', 'cpu' or none.")
        chosen = torch.device("cpu")
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    accelerator = Accelerator(cpu=chosen.type == "cpu", mixed_precision="no", kwargs_handlers=[kwargs])
    if alone:
        accelerator.state.device = chosen  # accelerate itself knows no second GPU
    return accelerator


def distribute(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Returns the model, wrapped so that its gradients are averaged over the ranks if there are several."""
    with warnings.catch_warnings():
        # torch 2.14 has another name for the argument, which older versions do not know
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return accelerator.prepare_model(model)


@contextmanager
def peers(rank: int, ranks: int) -> Iterator[None]:
    """Raises PeerLostError when another one of the ranks ends while this one needs it."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, DistError) or any(sign in str(error) for sign in _CONNECTION_LOST)
        if ranks == 1 or not lost:
            raise
        raise PeerLostError(
            f"rank {rank} of {ranks} lost its connection to another rank, which ended before it; that rank may have "
            "said why, and --resume goes on from the last checkpoint."
        ) from error
