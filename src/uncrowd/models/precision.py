"""What mixed precision must not round, and what it rounds anew for each picture unless it is told otherwise."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switches autocast off where `device` has one (the meta device, on which costs are counted, has none)."""
    return torch.autocast(device.type, enabled=False) if torch.amp.is_autocast_available(device.type) else nullcontext()


class PreciseLinear(nn.Linear):
    """A linear layer in at least fp32, also under autocast: in bf16 most scores of a picture would equal others."""

    def forward(self, input: Float[Tensor, "*n _"]) -> Float[Tensor, "*n _"]:
        """Returns the predictions."""
        with full_precision(input.device):
            return super().forward(at_least_fp32(input))


def keep_weights_in_bf16(model: nn.Module) -> None:
    """Casts, once and in place, the weights that autocast would cast for each picture: those of all other products.

    Under autocast the model computes what it did before, to the bit, and without it no longer anything.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not isinstance(module, PreciseLinear):
            module.to(torch.bfloat16)
