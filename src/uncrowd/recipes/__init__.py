"""Complete runs as functions that return one `Experiment`, and the names the command line knows them by."""

from collections.abc import Callable

from uncrowd.recipes import coco, coco_ablations, coco_detr, crowdhuman
from uncrowd.recipes.experiment import Experiment
from uncrowd.recipes.small_data import small_data

EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "small-data": small_data,
    "coco-r50-100": coco.coco_r50_100,
    "coco-r50-100-sparse-rcnn": coco.coco_r50_100_sparse_rcnn,
    "coco-r101-100": coco.coco_r101_100,
    "coco-r101-100-sparse-rcnn": coco.coco_r101_100_sparse_rcnn,
    "coco-r50-300": coco.coco_r50_300,
    "coco-r50-300-sparse-rcnn": coco.coco_r50_300_sparse_rcnn,
    "coco-r101-300": coco.coco_r101_300,
    "coco-r101-300-sparse-rcnn": coco.coco_r101_300_sparse_rcnn,
    "coco-swin-t-300": coco.coco_swin_t_300,
    "coco-swin-t-300-sparse-rcnn": coco.coco_swin_t_300_sparse_rcnn,
    "coco-resnext101-300-sparse-rcnn": coco.coco_resnext101_300_sparse_rcnn,
    "coco-r50-100-iou-esa": coco_ablations.coco_r50_100_iou_esa,
    "coco-r50-100-dcw": coco_ablations.coco_r50_100_dcw,
    "coco-r50-100-no-attention": coco_ablations.coco_r50_100_no_attention,
    "coco-r50-100-iou-only": coco_ablations.coco_r50_100_iou_only,
    "coco-r50-100-half": coco_ablations.coco_r50_100_half,
    "coco-r50-100-full": coco_ablations.coco_r50_100_full,
    "coco-r50-100-12-epochs": coco_ablations.coco_r50_100_12_epochs,
    "coco-r50-100-24-epochs": coco_ablations.coco_r50_100_24_epochs,
    "coco-r50-100-sparse-rcnn-12-epochs": coco_ablations.coco_r50_100_sparse_rcnn_12_epochs,
    "coco-r50-100-sparse-rcnn-24-epochs": coco_ablations.coco_r50_100_sparse_rcnn_24_epochs,
    "coco-detr-r50": coco_detr.coco_detr_r50,
    "coco-detr-r50-iou-esa-dcw": coco_detr.coco_detr_r50_iou_esa_dcw,
    "crowdhuman-r50-500": crowdhuman.crowdhuman_r50_500,
    "crowdhuman-r50-500-sparse-rcnn": crowdhuman.crowdhuman_r50_500_sparse_rcnn,
    "crowdhuman-r50-500-iou-esa": crowdhuman.crowdhuman_r50_500_iou_esa,
    "crowdhuman-r50-500-dcw": crowdhuman.crowdhuman_r50_500_dcw,
    "crowdhuman-r50-500-no-attention": crowdhuman.crowdhuman_r50_500_no_attention,
    "crowdhuman-r50-500-iou-only": crowdhuman.crowdhuman_r50_500_iou_only,
    "crowdhuman-r50-500-half": crowdhuman.crowdhuman_r50_500_half,
    "crowdhuman-r50-500-full": crowdhuman.crowdhuman_r50_500_full,
}
