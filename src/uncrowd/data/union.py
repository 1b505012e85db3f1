"""Several datasets as one: classes of the same name are one class, and the ids of images become unique."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.packed_outlines import Outlines
from uncrowd.errors import InputError
from uncrowd.structures import Categories


def union_of_classes(several: Sequence[Categories]) -> Categories:
    """Returns the classes of all, each name once, in the order in which they first come.

    Where not all have the same classes with the same ids, the ids are 1, 2, 3 and so on.
    """
    if all(each == several[0] for each in several):
        return several[0]
    names = tuple(dict.fromkeys(name for each in several for name in each.names))
    return Categories(ids=tuple(range(1, len(names) + 1)), names=names)


def join(datasets: dict[str, DetectionDataset], categories: Categories) -> DetectionDataset:
    """Returns one dataset with the images of all, in order; datasets: by the name that is put before their ids.

    categories: those of the result, with all names. The protocol is that of the datasets where they agree, else
    COCO's. Raises InputError when only some of the datasets have ground truth.
    """
    several = list(datasets.values())
    one = several[0]
    bare = [dataset for dataset in several if not dataset.annotated]
    if bare and len(bare) < len(several):
        other = next(dataset for dataset in several if dataset.annotated)
        raise InputError(
            f"{other.source} has ground truth and {bare[0].source} has none, so their {one.split} splits cannot be "
            "joined; leave out one of the two datasets, or the file of its split."
        )
    folder = Path(os.path.commonpath([dataset.folder.absolute() for dataset in several]))
    label_of = {name: label for label, name in enumerate(categories.names)}
    first_rows = np.cumsum([0, *(len(dataset.boxes) for dataset in several)])
    offsets = [dataset.offsets[1:] + row for dataset, row in zip(several, first_rows, strict=False)]
    skipped: Counter[str] = Counter()
    for dataset in several:
        skipped.update(dataset.skipped)
    return DetectionDataset(
        source=Path(" and ".join(f"{dataset.source.name} of {name}" for name, dataset in datasets.items())),
        split=one.split,
        categories=categories,
        folder=folder,
        ids=np.array([f"{name}/{id}" for name, dataset in datasets.items() for id in dataset.ids], dtype=np.str_),
        file_names=np.array([file for dataset in several for file in _files(dataset, folder)], dtype=np.str_),
        sizes=np.concatenate([dataset.sizes for dataset in several]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), *offsets]),
        boxes=np.concatenate([dataset.boxes for dataset in several]),
        labels=np.concatenate([_relabelled(dataset, label_of) for dataset in several]),
        ignore=np.concatenate([dataset.ignore for dataset in several]),
        areas=np.concatenate([dataset.areas for dataset in several]),
        outlines=Outlines.join([dataset.outlines for dataset in several], [len(dataset.boxes) for dataset in several]),
        skipped=dict(skipped),
        annotated=one.annotated,
        protocol=one.protocol if all(dataset.protocol == one.protocol for dataset in several) else "coco",
    )


def _relabelled(dataset: DetectionDataset, label_of: dict[str, int]) -> np.ndarray:
    return np.array([label_of[name] for name in dataset.categories.names], dtype=np.int64)[dataset.labels]


def _files(dataset: DetectionDataset, folder: Path) -> list[str]:
    """The names of the image files, relative to a folder above them."""
    below = Path(os.path.relpath(dataset.folder.absolute(), folder))
    return [str(below / name) for name in dataset.file_names.tolist()]
