"""What must not be rounded to a half type under mixed precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import at_least_fp32


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Switches autocast off, which the meta device, on which costs are counted, does not have."""
    # by name: the compiler does not follow torch.amp.is_autocast_available everywhere (torch 2.11)
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


class PreciseLinear(nn.Linear):
    """A linear layer in at least fp32, also under autocast: for scores and boxes.

    In bf16 most scores of an image would equal others, and boxes would move by pixels.
    """

    def forward(self, input: Float[Tensor, "*n in_features"]) -> Float[Tensor, "*n out_features"]:
        """Returns what `nn.Linear` does, in at least fp32."""
        with without_autocast(input.device):
            return super().forward(at_least_fp32(input))
