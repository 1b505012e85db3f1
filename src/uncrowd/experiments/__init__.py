"""Complete runs as functions that return one `Experiment`, and the names the command line knows them by."""

from collections.abc import Callable

from uncrowd.experiments.coco import coco_r50_100, coco_r50_100_sparse_rcnn
from uncrowd.experiments.experiment import Experiment
from uncrowd.experiments.small_data import small_data

EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "small-data": small_data,
    "coco-r50-100": coco_r50_100,
    "coco-r50-100-sparse-rcnn": coco_r50_100_sparse_rcnn,
}
