"""Small detectors with frozen norms, and numbers for these norms as if they had been trained.

In a new model the norms do nothing, except the last of each block, which multiplies by 0.
"""

from dataclasses import replace

import torch
from torchvision.ops import FrozenBatchNorm2d

from tests.tiny import tiny_experiment
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.detector import Detector
from uncrowd.models.detr import DETRConfig

BACKBONE = BackboneConfig(name="resnet10t", frozen_stages=0)
SPARSE_RCNN = replace(tiny_experiment().model, backbone=BACKBONE)
DETR = DETRConfig(num_classes=3, proposals=5, width=16, heads=2, encoder_layers=1, decoder_layers=2, backbone=BACKBONE)


@torch.no_grad()
def as_if_trained(model: Detector) -> None:
    """Changes every number of the backbone's frozen norms, in place."""
    for norm in model.backbone.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            for name, buffer in norm.named_buffers():
                buffer.uniform_(*((0.5, 1.5) if name in ("weight", "running_var") else (-0.2, 0.2)))
