"""Frozen batch norm as part of the convolution before it: the same numbers, with one pass over the picture less.

Weights are scaled in each forward pass, which is little beside a convolution; so what is learned, decayed and saved is
the convolution's own weight, as it is without, and every parameter and buffer keeps its name. Only a model that will
never be trained again is folded for good.
"""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import FrozenBatchNorm2d


class FoldedNorm(FrozenBatchNorm2d):
    """The numbers of a frozen norm whose work the convolution before it does."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: FrozenBatchNorm2d):
        super().__init__(0, norm.eps)
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def scale_and_bias(self) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Returns what each channel is multiplied by, and then what is added to it."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns what it is given."""
        return x


class FoldedConv2d(nn.Module):
    """A convolution without bias that also does what the frozen norm after it is for."""

    def __init__(self, convolution: nn.Conv2d, norm: FoldedNorm):
        super().__init__()
        assert convolution.bias is None
        assert convolution.padding_mode == "zeros"
        self.weight = convolution.weight
        self.settings: dict[str, Any] = {
            name: getattr(convolution, name) for name in ("stride", "padding", "dilation", "groups")
        }
        self._norm = (norm,)  # not as a module: it is its block's own, under the name it has there

    def forward(self, x: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b _ _ _"]:
        """Returns the normalised convolution."""
        weight, bias = self._weight_and_bias()
        return F.conv2d(x, weight, bias, **self.settings)

    def scaled(self) -> nn.Conv2d:
        """Returns the plain convolution that computes the same as long as no weight changes."""
        weight, bias = self._weight_and_bias()
        channels, sides = (
            (weight.shape[1] * self.settings["groups"], weight.shape[0]),
            (weight.shape[2], weight.shape[3]),
        )
        plain = nn.Conv2d(*channels, sides, **self.settings, device="meta")
        plain.weight, plain.bias = nn.Parameter(weight), nn.Parameter(bias)
        return plain.requires_grad_(False)

    def _weight_and_bias(self) -> tuple[Float[Tensor, "d _ _ _"], Float[Tensor, " d"]]:
        scale, bias = self._norm[0].scale_and_bias()
        return self.weight * scale[:, None, None, None], bias


def fold_frozen_norms(module: nn.Module) -> None:
    """Folds every frozen norm of a ResNet that directly follows a convolution; all else stays as it is."""
    for convolution_name, norm_name in _pairs(module):
        convolution, norm = getattr(module, convolution_name, None), getattr(module, norm_name, None)
        if type(convolution) is nn.Conv2d and type(norm) is FrozenBatchNorm2d:
            folded = FoldedNorm(norm)
            setattr(module, norm_name, folded)
            setattr(module, convolution_name, FoldedConv2d(convolution, folded))
    for child in module.children():
        fold_frozen_norms(child)


@torch.no_grad()
def fold_for_good(module: nn.Module) -> None:
    """Puts plain convolutions, their weights scaled once, in the place of the folded ones.

    For a model that only looks: it computes the same, to the bit, but its weights are no longer those that one trains.
    """
    for name, child in module.named_children():
        if isinstance(child, FoldedConv2d):
            setattr(module, name, child.scaled())
        fold_for_good(child)


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of children of which the second is applied to what the first puts out, and to nothing else."""
    if isinstance(module, BasicBlock | Bottleneck):
        return [(f"conv{n}", f"bn{n}") for n in (1, 2, 3)]
    if isinstance(module, nn.Sequential):  # of a block's shortcut, or a deep stem
        names = [name for name, _ in module.named_children()]
        return list(pairwise(names))
    return [("conv1", "bn1")] if hasattr(module, "layer1") else []  # a ResNet's stem
