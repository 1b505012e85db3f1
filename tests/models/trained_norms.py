"""Small detectors with frozen norms, and these as training leaves them.

In a new model they do nothing, and the last of each block takes all away.
"""

from dataclasses import replace

import torch
from torchvision.ops import FrozenBatchNorm2d

from tests.tiny import tiny_experiment
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.detector import Detector
from uncrowd.models.detr import DETRConfig

TRUNK = BackboneConfig(name="resnet10t", frozen_stages=0)
SPARSE_RCNN = replace(tiny_experiment().model, backbone=TRUNK)
DETR = DETRConfig(num_classes=3, proposals=5, width=16, heads=2, encoder_layers=1, decoder_layers=2, backbone=TRUNK)


@torch.no_grad()
def as_if_trained(model: Detector) -> None:
    """Changes every number of the trunk's frozen norms, in place."""
    for norm in model.backbone.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            for name, buffer in norm.named_buffers():
                buffer.uniform_(*((0.5, 1.5) if name in ("weight", "running_var") else (-0.2, 0.2)))
