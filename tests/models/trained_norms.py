"""Frozen norms as training leaves them. In a new model they do nothing, and the last of each block takes all away."""

import torch
from torchvision.ops import FrozenBatchNorm2d

from uncrowd.models.detector import Detector


@torch.no_grad()
def as_if_trained(model: Detector) -> None:
    """Changes every number of the trunk's frozen norms, in place."""
    for norm in model.backbone.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            for name, buffer in norm.named_buffers():
                buffer.uniform_(*((0.5, 1.5) if name in ("weight", "running_var") else (-0.2, 0.2)))
