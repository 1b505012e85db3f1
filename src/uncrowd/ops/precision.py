"""Computations that mixed precision must not round to a half type."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Switches autocast off. The meta device, on which costs are counted, has no autocast."""
    # by name: the compiler cannot trace torch.amp.is_autocast_available everywhere (torch 2.11)
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class PreciseLinear(nn.Linear):
    """A linear layer for scores and boxes, computed in at least fp32 also under autocast.

    In bf16 most scores of an image would be equal to others, and boxes would move by pixels.
    """

    def forward(self, input: Float[Tensor, "*n in_features"]) -> Float[Tensor, "*n out_features"]:
        """Returns what `nn.Linear` does, in at least fp32."""
        with without_autocast(input.device):
            return super().forward(at_least_fp32(input))
