"""The feature pyramid: P2 to P5, all of one width."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import FeaturePyramidNetwork

from uncrowd.ops.precision import without_autocast


class Pyramid(nn.Module):
    """FPN (arXiv:1612.03144): 1x1 laterals, nearest top-down, 3x3 outputs; biases, no norm, kaiming_uniform(a=1).

    The layers are torchvision's. On a CPU their sum is computed without writing the upsampled map.
    """

    def __init__(self, in_channels: list[int], width: int):
        super().__init__()
        self.fpn = FeaturePyramidNetwork(in_channels, width)

    def forward(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b d _ _"]]:
        """Returns one map for each of `features`, at its stride; each has to have half the sides of the one before."""
        levels = [lateral(feature) for lateral, feature in zip(self.fpn.inner_blocks, features, strict=True)]
        for finer, coarser in zip(levels[-2::-1], levels[:0:-1], strict=True):
            _add_upsampled(coarser, finer)
        return [smooth(level) for smooth, level in zip(self.fpn.layer_blocks, levels, strict=True)]

    def freeze_below(self, level: int) -> None:
        """Freezes the layers of the maps before `level`, which nothing reads. level: 0 is the finest."""
        for layers in (self.fpn.inner_blocks, self.fpn.layer_blocks):
            for layer in list(layers)[:level]:
                layer.requires_grad_(False)


def _add_upsampled(coarser: Float[Tensor, "b d h w"], finer: Float[Tensor, "b d 2*h 2*w"]) -> None:
    """Adds `coarser`, upsampled by nearest neighbours, to `finer` in place."""
    # The last line below does not write the upsampled map, which is faster on a CPU. Other runtimes are slow at it, and
    # so is a GPU at its gradient, for which torch copies the finer map three times.
    if torch.compiler.is_compiling() or finer.is_cuda:
        with without_autocast(finer.device):  # autocast would upsample in fp32, with equal values
            finer.add_(F.interpolate(coarser, size=finer.shape[-2:], mode="nearest"))
        return
    height, width = coarser.shape[-2:]
    finer.unflatten(3, (width, 2)).unflatten(2, (height, 2)).add_(coarser[:, :, :, None, :, None])
