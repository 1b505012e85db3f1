"""Recall of objects by how crowded they are and by their size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from uncrowd.evaluation.analysis.nearest import crowding, nearest_objects
from uncrowd.structures import Detections, ImageId, Sample

# By the intervals of `OVERLAPS`: the largest IoU of an object with another.
CROWDING = ("no overlap", "IoU to 0.3", "IoU to 0.5", "IoU to 0.7", "IoU above 0.7")
# COCO's sizes, by area.
SIZES = ("small", "medium", "large")
_AREAS = (32.0**2, 96.0**2)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Some of the objects: how many there are, how many are found, and how many further detections those have.

    A wrong detection that is no duplicate belongs to no object, and so to no slice; therefore a slice has a recall at
    the threshold, but no precision and no AP.
    """

    name: str
    objects: int
    found: int
    duplicates: int

    @property
    def recall(self) -> float | None:
        """The share of the objects that is found; None if there are none."""
        return self.found / self.objects if self.objects else None


@dataclass(frozen=True, kw_only=True)
class Slices:
    """The objects by their largest IoU with another object of any class, and by COCO's sizes."""

    crowding: tuple[Slice, ...]
    sizes: tuple[Slice, ...]


def recall_by_slice(samples: Sequence[Sample], kept: Mapping[ImageId, Detections], *, iou: float = 0.5) -> Slices:
    """Returns what the detections `kept` above a threshold find at one IoU.

    A detection may match only the object of its class that it overlaps most: of the detections with an IoU of at least
    `iou` with it, the best finds the object and the others are its duplicates. In a crowd this is stricter than COCO's
    matching, in which a duplicate may count as the find of a neighbour.
    """
    nearest = nearest_objects(samples, kept)
    found = nearest.objects[nearest.right(iou)]
    duplicated = nearest.objects[nearest.duplicates(iou)]

    def sliced(names: Sequence[str], of: Int64[np.ndarray, " n"]) -> tuple[Slice, ...]:
        counts = (np.bincount(rows, minlength=len(names)).tolist() for rows in (of, of[found], of[duplicated]))
        return tuple(
            Slice(name=name, objects=n, found=f, duplicates=d) for name, n, f, d in zip(names, *counts, strict=True)
        )

    areas = np.concatenate([np.zeros(0), *(sample.areas[~sample.ignore] for sample in samples)])
    return Slices(crowding=sliced(CROWDING, crowding(samples)), sizes=sliced(SIZES, np.searchsorted(_AREAS, areas)))
