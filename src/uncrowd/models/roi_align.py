"""RoI features: each box pooled from the pyramid level that fits its size."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import roi_align as roi_align_level

from uncrowd.boxes import FAR, area, at_least_fp32

FINEST_LEVEL = 2  # P2, stride 4
# A box of this side (pixels) is pooled from this level (FPN, Eq. 1 there).
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4
SAMPLING_RATIO = 2


def assign_levels(boxes: Float[Tensor, "*n 4"], levels: int) -> Int64[Tensor, "*n"]:
    """Returns for each box the index (0 is P2) of its level: floor(4 + log2(sqrt(area) / 224)), clamped."""
    side = area(boxes).sqrt()
    level = (CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIDE + 1e-8)).floor()
    return level.clamp(FINEST_LEVEL, FINEST_LEVEL + levels - 1).long() - FINEST_LEVEL


def roi_align(
    features: list[Float[Tensor, "b c _ _"]], boxes: Float[Tensor, "b n 4"], size: int
) -> Float[Tensor, "b*n c {size} {size}"]:
    """Pools every box from its level into `size` x `size` cells (aligned, 2 x 2 samples a cell).

    features: P2, P3, ... with strides 4, 8, .... boxes: network pixels, anywhere; samples more than a cell outside
    the feature map are 0. A coordinate that is not finite pools as a very far one (NaN: as 0); boxes get no gradient.
    Half-precision features are pooled in fp32, for a box in bf16 is up to 4 pixels off, and come back in their dtype.
    """
    if boxes.is_meta:  # where costs are counted: which box falls on which level is unknown there, the shape is not
        return features[0].new_empty(boxes.shape[0] * boxes.shape[1], features[0].shape[1], size, size)
    picture = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
    boxes = at_least_fp32(boxes).detach().flatten(0, 1).nan_to_num(nan=0.0).clamp(-FAR, FAR)
    rois = torch.cat([picture[:, None].to(boxes.dtype), boxes], dim=1)
    level_of = assign_levels(boxes, levels=len(features))
    pooled, order = [], []
    for level, feature in enumerate(features):
        chosen = (level_of == level).nonzero().squeeze(1)
        scale = 1 / 2 ** (level + FINEST_LEVEL)
        precise = at_least_fp32(feature)
        here = roi_align_level(precise, rois[chosen].to(precise.dtype), size, scale, SAMPLING_RATIO, aligned=True)
        pooled.append(here.to(feature.dtype))
        order.append(chosen)
    return torch.cat(pooled)[torch.cat(order).argsort()]
