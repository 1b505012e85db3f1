"""The feature pyramid: P2 to P5, all of one width."""

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork


class Pyramid(nn.Module):
    """FPN (arXiv:1612.03144): 1x1 laterals, nearest top-down, 3x3 outputs; biases, no norm, kaiming_uniform(a=1)."""

    def __init__(self, in_channels: list[int], width: int):
        super().__init__()
        self.fpn = FeaturePyramidNetwork(in_channels, width)

    def forward(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b d _ _"]]:
        """Returns one map a level, finest first, at the strides of `features`."""
        levels = self.fpn({str(i): feature for i, feature in enumerate(features)}).values()
        return [level.contiguous() for level in levels]  # as RoIAlign reads them, or it would copy them at each stage
