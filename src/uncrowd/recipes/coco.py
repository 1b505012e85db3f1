"""The paper's COCO runs with all of their backbones (Tables 6 and 7), each with its Sparse R-CNN baseline.

The paper drops the learning rate after epochs 27 and 33; the authors' released configuration drops it after 210k and
250k of 270k iterations, which are epochs 28.4 and 33.8. Backbones start from ImageNet weights under timm's names.
"""

from dataclasses import replace

from uncrowd.data.transforms import CropConfig, TrainTransformConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes.experiment import Experiment
from uncrowd.recipes.variants import sparse_rcnn

R50 = BackboneConfig(name="resnet50.tv_in1k", pretrained="timm")
R101 = BackboneConfig(name="resnet101.tv_in1k", pretrained="timm")
SWIN_T = BackboneConfig(name="swin_tiny_patch4_window7_224.ms_in1k", pretrained="timm", frozen_stages=0, drop_path=0.2)
# The paper does not say which ResNeXt-101 it uses; this is the usual one.
RESNEXT101 = BackboneConfig(name="resnext101_64x4d.tv_in1k", pretrained="timm")


def coco_r50_100() -> Experiment:
    """The full method: R50, 100 proposals, 36 epochs (Tables 4 and 6)."""
    return Experiment(
        name="coco-r50-100", protocol="coco", model=SparseRCNNConfig(num_classes=80, proposals=100, backbone=R50)
    )


def coco_r50_100_sparse_rcnn() -> Experiment:
    """Its baseline (Tables 1, 2, 4 and 6)."""
    return sparse_rcnn(coco_r50_100())


def coco_r101_100() -> Experiment:
    """R101, 100 proposals (Tables 6 and 7)."""
    return _with_backbone(coco_r50_100(), "coco-r101-100", R101)


def coco_r101_100_sparse_rcnn() -> Experiment:
    """Its baseline (Table 6)."""
    return sparse_rcnn(coco_r101_100())


def coco_r50_300() -> Experiment:
    """R50, 300 proposals and, as in all runs with 300, random crops (Table 6, "*")."""
    few = coco_r50_100()
    return replace(
        few,
        name="coco-r50-300",
        model=replace(few.model, proposals=300),
        augment=TrainTransformConfig(crop=CropConfig()),
    )


def coco_r50_300_sparse_rcnn() -> Experiment:
    """Its baseline (Table 6)."""
    return sparse_rcnn(coco_r50_300())


def coco_r101_300() -> Experiment:
    """R101, 300 proposals (Tables 6 and 7)."""
    return _with_backbone(coco_r50_300(), "coco-r101-300", R101)


def coco_r101_300_sparse_rcnn() -> Experiment:
    """Its baseline (Table 6)."""
    return sparse_rcnn(coco_r101_300())


def coco_swin_t_300() -> Experiment:
    """Swin-T, nothing frozen, 300 proposals (Tables 6 and 7)."""
    return _with_backbone(coco_r50_300(), "coco-swin-t-300", SWIN_T)


def coco_swin_t_300_sparse_rcnn() -> Experiment:
    """Its baseline (Table 6)."""
    return sparse_rcnn(coco_swin_t_300())


def coco_resnext101_300_sparse_rcnn() -> Experiment:
    """The baseline on ResNeXt-101 64x4d, 300 proposals (Table 7); the paper does not report its own method on it."""
    return sparse_rcnn(_with_backbone(coco_r50_300(), "coco-resnext101-300", RESNEXT101))


def _with_backbone(experiment: Experiment, name: str, backbone: BackboneConfig) -> Experiment:
    return replace(experiment, name=name, model=replace(experiment.model, backbone=backbone))
