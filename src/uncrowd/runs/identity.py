"""What makes two runs the same run: only with the same settings and data may a run go on from a checkpoint."""

import hashlib
from typing import Any

import numpy as np

from uncrowd import config
from uncrowd.data.dataset import DetectionDataset
from uncrowd.recipes.experiment import Experiment

# Settings of `train` that may change when a run is resumed. Compiled or not, results differ by rounding alone; the
# limit of pixels is raised by somebody who learns that images were left out.
MAY_CHANGE = ("compile", "max_pixels")


def identity(experiment: Experiment, train_set: DetectionDataset, val_set: DetectionDataset) -> dict[str, Any]:
    """Returns, as JSON, what a checkpoint and the run that resumes from it must share."""
    settings = config.to_dict(experiment)
    train = {name: value for name, value in settings["train"].items() if name not in MAY_CHANGE}
    return {
        "configuration": settings | {"train": train},
        "training data": _contents(train_set),
        "validation data": _contents(val_set),
    }


def _contents(dataset: DetectionDataset) -> dict[str, Any]:
    """What tells one dataset from another, wherever it lies: counts for people to read, and a digest of all records."""
    digest = hashlib.sha256()
    records = (dataset.ids, dataset.file_names, dataset.sizes, dataset.offsets)
    for array in (*records, dataset.boxes, dataset.labels, dataset.ignore):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "images": len(dataset),
        "boxes": len(dataset.boxes),
        "classes": list(dataset.categories.names),
        "contents": digest.hexdigest()[:16],
    }
