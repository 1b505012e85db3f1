"""The paper's COCO runs (Tables 4 and 6)."""

from dataclasses import replace

from uncrowd.experiments.experiment import Experiment
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.models.stage import StageConfig


def coco_r50_100() -> Experiment:
    """The full method: R50, 100 proposals, 36 epochs; AP 44.4 in Table 6. ImageNet weights by timm's name."""
    backbone = BackboneConfig(name="resnet50.tv_in1k", pretrained="timm")
    return Experiment(name="coco-r50-100", model=SparseRCNNConfig(proposals=100, backbone=backbone))


def coco_r50_100_sparse_rcnn() -> Experiment:
    """The baseline of the same schedule: AP 42.8 in Table 6."""
    ours = coco_r50_100()
    stage = StageConfig(attention="content", interaction="entangled")
    return replace(ours, name="coco-r50-100-sparse-rcnn", model=replace(ours.model, stage=stage))
