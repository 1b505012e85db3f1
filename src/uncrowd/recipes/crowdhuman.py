"""The paper's CrowdHuman runs: R50, 500 proposals, 50 epochs, full bodies (Tables 3, 5, 8 and 9).

Training drops ignored boxes, and predictions on them count as wrong; Iter-E2EDET gains a little by leaving these out of
the class loss (`loss.ignore_above` 0.7). The long side is at most 1333, as the paper says; the authors' released
configuration trains with up to 1500.
"""

from uncrowd.data.transforms import TrainTransformConfig
from uncrowd.engine.optim import OptimConfig
from uncrowd.engine.train_config import TrainConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes import variants
from uncrowd.recipes.coco import R50
from uncrowd.recipes.experiment import Experiment


def crowdhuman_r50_500() -> Experiment:
    """The full method (Tables 3 and 5)."""
    return Experiment(
        name="crowdhuman-r50-500",
        protocol="crowdhuman",
        model=SparseRCNNConfig(num_classes=1, proposals=500, backbone=R50),
        augment=TrainTransformConfig(short_sides=tuple(range(640, 801, 32))),
        optim=OptimConfig(milestones=(40.0,)),
        train=TrainConfig(epochs=50),
    )


def crowdhuman_r50_500_sparse_rcnn() -> Experiment:
    """Its baseline (Tables 3, 5, 8 and 9, which disagree about its scores)."""
    return variants.sparse_rcnn(crowdhuman_r50_500())


def crowdhuman_r50_500_iou_esa() -> Experiment:
    """The baseline with IoU-ESA alone (Table 3)."""
    return variants.iou_esa(crowdhuman_r50_500())


def crowdhuman_r50_500_dcw() -> Experiment:
    """The baseline with DCW alone (Table 3)."""
    return variants.dcw(crowdhuman_r50_500())


def crowdhuman_r50_500_no_attention() -> Experiment:
    """The baseline "w/o MSA" (Table 8)."""
    return variants.no_attention(crowdhuman_r50_500())


def crowdhuman_r50_500_iou_only() -> Experiment:
    """The baseline with "IoU-MSA" (Table 8)."""
    return variants.iou_only(crowdhuman_r50_500())


def crowdhuman_r50_500_half() -> Experiment:
    """The baseline disentangled, half the channels for each task (Table 9)."""
    return variants.half(crowdhuman_r50_500())


def crowdhuman_r50_500_full() -> Experiment:
    """The baseline disentangled, half the channels for each task and widened again (Table 9)."""
    return variants.full(crowdhuman_r50_500())
