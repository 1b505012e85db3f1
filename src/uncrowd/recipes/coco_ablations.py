"""The paper's ablations on COCO, with R50 and 100 proposals (Tables 1, 2 and 4), and its shorter runs (Fig. 6)."""

from uncrowd.recipes import variants
from uncrowd.recipes.coco import coco_r50_100, coco_r50_100_sparse_rcnn
from uncrowd.recipes.experiment import Experiment

# The paper does not say where its shorter runs drop the rate; we drop it where mmdetection's 1x and 2x schedules do.
DROPS_OF_12, DROPS_OF_24 = (8.0, 11.0), (16.0, 22.0)


def coco_r50_100_iou_esa() -> Experiment:
    """The baseline with IoU-ESA alone (Table 4)."""
    return variants.iou_esa(coco_r50_100())


def coco_r50_100_dcw() -> Experiment:
    """The baseline with DCW alone (Table 4)."""
    return variants.dcw(coco_r50_100())


def coco_r50_100_no_attention() -> Experiment:
    """The baseline "w/o MSA" (Table 1)."""
    return variants.no_attention(coco_r50_100())


def coco_r50_100_iou_only() -> Experiment:
    """The baseline with "IoU-MSA" (Table 1)."""
    return variants.iou_only(coco_r50_100())


def coco_r50_100_half() -> Experiment:
    """The baseline disentangled, half the channels for each task (Table 2)."""
    return variants.half(coco_r50_100())


def coco_r50_100_full() -> Experiment:
    """The baseline disentangled, half the channels for each task and widened again (Table 2)."""
    return variants.full(coco_r50_100())


def coco_r50_100_12_epochs() -> Experiment:
    """The full method in a third of the time (Fig. 6, 1x)."""
    return variants.shorter(coco_r50_100(), 12, DROPS_OF_12)


def coco_r50_100_24_epochs() -> Experiment:
    """The full method in two thirds of the time (Fig. 6, 2x)."""
    return variants.shorter(coco_r50_100(), 24, DROPS_OF_24)


def coco_r50_100_sparse_rcnn_12_epochs() -> Experiment:
    """The baseline in a third of the time (Fig. 6, 1x)."""
    return variants.shorter(coco_r50_100_sparse_rcnn(), 12, DROPS_OF_12)


def coco_r50_100_sparse_rcnn_24_epochs() -> Experiment:
    """The baseline in two thirds of the time (Fig. 6, 2x)."""
    return variants.shorter(coco_r50_100_sparse_rcnn(), 24, DROPS_OF_24)
