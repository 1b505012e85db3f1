"""Recipes: functions that each return one complete `Experiment`, and the names by which the command line knows them."""

from collections.abc import Callable

from uncrowd.errors import InputError
from uncrowd.recipes import coco, coco_ablations, coco_detr, crowdhuman
from uncrowd.recipes.crowd import crowd
from uncrowd.recipes.experiment import Experiment
from uncrowd.recipes.small_data import small_data
from uncrowd.words import nearest

# In the order in which `uncrowd info` lists them.
RECIPES: tuple[Callable[[], Experiment], ...] = (
    small_data,
    crowd,
    coco.coco_r50_100,
    coco.coco_r50_100_sparse_rcnn,
    coco.coco_r101_100,
    coco.coco_r101_100_sparse_rcnn,
    coco.coco_r50_300,
    coco.coco_r50_300_sparse_rcnn,
    coco.coco_r101_300,
    coco.coco_r101_300_sparse_rcnn,
    coco.coco_swin_t_300,
    coco.coco_swin_t_300_sparse_rcnn,
    coco.coco_resnext101_300_sparse_rcnn,
    coco_ablations.coco_r50_100_iou_esa,
    coco_ablations.coco_r50_100_dcw,
    coco_ablations.coco_r50_100_no_attention,
    coco_ablations.coco_r50_100_iou_only,
    coco_ablations.coco_r50_100_half,
    coco_ablations.coco_r50_100_full,
    coco_ablations.coco_r50_100_12_epochs,
    coco_ablations.coco_r50_100_24_epochs,
    coco_ablations.coco_r50_100_sparse_rcnn_12_epochs,
    coco_ablations.coco_r50_100_sparse_rcnn_24_epochs,
    coco_detr.coco_detr_r50,
    coco_detr.coco_detr_r50_iou_esa_dcw,
    crowdhuman.crowdhuman_r50_500,
    crowdhuman.crowdhuman_r50_500_sparse_rcnn,
    crowdhuman.crowdhuman_r50_500_iou_esa,
    crowdhuman.crowdhuman_r50_500_dcw,
    crowdhuman.crowdhuman_r50_500_no_attention,
    crowdhuman.crowdhuman_r50_500_iou_only,
    crowdhuman.crowdhuman_r50_500_half,
    crowdhuman.crowdhuman_r50_500_full,
)
# A name is written once, in the experiment itself.
EXPERIMENTS = {build().name: build for build in RECIPES}


def experiment_named(name: str) -> Experiment:
    """Returns the experiment of this name. Raises InputError, with the nearest name, where there is none."""
    if name not in EXPERIMENTS:
        raise InputError(f"There is no recipe {name!r}{nearest(name, EXPERIMENTS)}; `uncrowd info` lists them.")
    return EXPERIMENTS[name]()
