"""Small detectors that still have every part of the published ones."""

from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig

SMALL = SparseRCNNConfig(
    num_classes=5,
    proposals=24,
    stages=2,
    backbone=BackboneConfig(name="resnet18", frozen_stages=0),
    stage=StageConfig(width=64, heads=4, dynamic_width=16, feedforward_width=128),
)
SMALL_DETR = DETRConfig(
    num_classes=5, proposals=24, width=64, heads=4, encoder_layers=1, decoder_layers=2, backbone=SMALL.backbone
)
