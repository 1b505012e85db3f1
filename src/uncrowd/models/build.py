"""Builds the detector that a configuration describes."""

import torch

from uncrowd.models.detector import Detector
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig

AnyDetectorConfig = SparseRCNNConfig | DETRConfig


def build_detector(config: AnyDetectorConfig, device: torch.device | None = None) -> Detector:
    """Returns the detector on the device, in the memory layout that trains fastest there.

    Its backbone is not yet pretrained: see `Backbone.load_pretrained`. device: None means torch's default device.
    """
    match config:
        case SparseRCNNConfig():
            model = SparseRCNN(config)
        case DETRConfig():
            model = DETR(config)
    # Convolutions are fastest in channels last, except on a CPU with AVX2 and no AVX-512: there a training step takes
    # half as long again, because oneDNN computes the gradient of a 3 x 3 kernel up to six times more slowly.
    slow = (device is None or device.type == "cpu") and torch.backends.cpu.get_cpu_capability() == "AVX2"
    model.to(memory_format=torch.contiguous_format if slow else torch.channels_last)
    return model if device is None else model.to(device)
