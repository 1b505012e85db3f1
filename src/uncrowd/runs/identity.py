"""What makes two runs the same run. Only with the same settings and data can a run continue from a checkpoint."""

import hashlib
from typing import Any

import numpy as np

from uncrowd import config
from uncrowd.data.dataset import DetectionDataset
from uncrowd.recipes.experiment import Experiment

# Settings of `train` that a resumed run may change: the length of the run, what is written when, what changes
# results by rounding at most (`accumulate` also by what is drawn for each micro-batch), and the limit of pixels, which
# is raised when images turn out to be left out.
MAY_CHANGE = (
    "epochs",
    "accumulate",
    "compile",
    "recompute",
    "patience",
    "workers",
    "evaluate_every",
    "checkpoint_every",
    "log_every",
    "max_pixels",
)
# Their names in `identity`.
MAY_DIFFER = frozenset(f"configuration.train.{name}" for name in MAY_CHANGE)


def identity(experiment: Experiment, train_set: DetectionDataset, val_set: DetectionDataset) -> dict[str, Any]:
    """Returns, as JSON, what a checkpoint and the run that continues from it must share, apart from `MAY_DIFFER`."""
    return {
        "configuration": config.to_dict(experiment),
        "training data": contents(train_set),
        "validation data": contents(val_set),
    }


def completed(facts: dict[str, Any]) -> dict[str, Any]:
    """Returns what `identity` gave in an earlier version, with the settings that were not there yet at their defaults.

    A setting whose default is what was done before is no difference. Raises InputError for what is no configuration.
    """
    experiment = config.from_dict(Experiment, facts["configuration"], "the checkpoint's configuration")
    contents = {split: _counting_images(facts[split]) for split in ("training data", "validation data")}
    return facts | {"configuration": config.to_dict(experiment)} | contents


def _counting_images(contents: dict[str, Any]) -> dict[str, Any]:
    """Returns the contents of a dataset; earlier versions called its images pictures."""
    return {"images" if key == "pictures" else key: value for key, value in contents.items()}


def contents(dataset: DetectionDataset) -> dict[str, Any]:
    """Returns what tells one dataset from another, wherever it is: readable counts and a digest of all records."""
    digest = hashlib.sha256()
    records = (dataset.ids, dataset.file_names, dataset.sizes, dataset.offsets)
    for array in (*records, dataset.boxes, dataset.labels, dataset.ignore):
        digest.update(np.ascontiguousarray(array).tobytes())
    if dataset.outlines is not None:  # a part of a dataset shares the bytes of the whole, so its own are picked out
        digest.update(np.diff(dataset.outlines.spans).tobytes())
        for start, end in dataset.outlines.spans:
            digest.update(dataset.outlines.data[start:end].tobytes())
    return {
        "images": len(dataset),
        "boxes": len(dataset.boxes),
        "classes": list(dataset.categories.names),
        "contents": digest.hexdigest()[:16],
    }
