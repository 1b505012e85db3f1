"""From a configuration to the detector it describes."""

from uncrowd.models.detector import Detector
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig

AnyDetectorConfig = SparseRCNNConfig | DETRConfig


def build_detector(config: AnyDetectorConfig) -> Detector:
    """Returns the detector, its backbone not yet pretrained (`Backbone.load_pretrained`)."""
    match config:
        case SparseRCNNConfig():
            return SparseRCNN(config)
        case DETRConfig():
            return DETR(config)
