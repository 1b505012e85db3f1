"""Converts a trained detector for inference."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from uncrowd.acceleration.fuse import fuse_frozen_norms
from uncrowd.models.detector import Detector
from uncrowd.ops.triton_available import HAS_TRITON

AnyModel = TypeVar("AnyModel", bound=Detector)


def for_inference(model: AnyModel, *, bf16: bool = False) -> AnyModel:
    """Returns a copy that is fast to run but can be neither trained nor saved; the model itself is unchanged.

    The copy is in evaluation mode and on the same device. Frozen norms are fused into the convolutions before them,
    which changes outputs only by rounding. Convolutions are laid out channels last, which is slow on some CPUs in
    training (see `build_detector`) but not here.

    bf16: cast, once, the weights that autocast would cast for every image. Such a copy runs only under autocast.
    """
    converted = deepcopy(model).eval().requires_grad_(requires_grad=False)
    fuse_frozen_norms(converted.backbone.body, late_bias=model.mean.is_cuda and HAS_TRITON)
    if bf16:
        for module in converted.modules():
            # Subclasses treat their weights in their own way: PreciseLinear keeps them in fp32.
            if type(module) in (nn.Linear, nn.Conv2d):
                module.to(torch.bfloat16)
    return converted.to(memory_format=torch.channels_last)
