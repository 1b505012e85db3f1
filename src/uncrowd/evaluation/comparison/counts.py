"""The counting error of any resample of the images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from uncrowd.evaluation.counting import count_both
from uncrowd.structures import Categories, Detections, ImageId, Sample
from uncrowd.thresholds import Threshold

COUNTING_ERROR = "counting error"


@dataclass(frozen=True, kw_only=True)
class CountErrors:
    """How wrong the counts of each image are.

    off: the absolute errors, added over the classes. objects: the number of objects.
    """

    off: Int64[np.ndarray, " images"]
    objects: Int64[np.ndarray, " images"]

    @classmethod
    def of(
        cls,
        samples: Iterable[Sample],
        detections: Mapping[ImageId, Detections],
        categories: Categories,
        threshold: Threshold,
    ) -> "CountErrors":
        """Counts the detections with a score of at least `threshold`, which raises InputError if it fits no class."""
        true, counted = count_both(samples, detections, categories, threshold)
        return cls(off=np.abs(counted - true).sum(axis=1), objects=true.sum(axis=1))

    def values(self, drawn: Int64[np.ndarray, " images"]) -> dict[str, float | None]:
        """Returns the total error of `CountingError`: absolute errors over objects."""
        objects = int(self.objects @ drawn)
        return {COUNTING_ERROR: float(self.off @ drawn / objects) if objects else None}
