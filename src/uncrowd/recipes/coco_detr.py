"""DETR with and without the paper's two modules (Appendix C, Table 10): 50 epochs, all else DETR's.

As in DETR's own schedule, there is no warm-up, the backbone learns at a tenth of the rate, and half of the images are
cropped. A batch has 16 images, as the paper says (Sec. 4, "all models") and as DETR's published command has them (2 on
each of 8 GPUs); DETR's own paper has 64.
"""

from uncrowd.data.transforms import CropConfig, TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.losses.classification import CrossEntropyConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.detr import DETRConfig
from uncrowd.recipes.coco import R50
from uncrowd.recipes.experiment import Experiment


def coco_detr_r50() -> Experiment:
    """The DETR baseline (Table 10)."""
    return _detr("coco-detr-r50", DETRConfig(num_classes=80, proposals=100, backbone=R50))


def coco_detr_r50_iou_esa_dcw() -> Experiment:
    """DETR with both modules in its decoder (Table 10)."""
    return _detr(
        "coco-detr-r50-iou-esa-dcw",
        DETRConfig(num_classes=80, proposals=100, backbone=R50, attention="iou", interaction="dcw"),
    )


def _detr(name: str, model: DETRConfig) -> Experiment:
    return Experiment(
        name=name,
        protocol="coco",
        model=model,
        augment=TrainTransformConfig(crop=CropConfig()),
        loss=LossConfig(
            classes=CrossEntropyConfig(no_object=0.1),
            class_weight=1.0,
            l1_weight=5.0,
            l1_of="centre_size",
            giou_weight=2.0,
        ),
        optim=OptimConfig(
            learning_rate=1e-4,
            backbone_factor=0.1,
            weight_decay=1e-4,
            clip_norm=0.1,
            warmup_steps=0,
            milestones=(40.0,),
        ),
        train=TrainConfig(epochs=50, batch_size=16),
    )
