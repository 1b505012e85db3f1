"""Precision and recall by score threshold, and the threshold to begin with when a detector is put to use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from uncrowd.evaluation.matching import match_image
from uncrowd.evaluation.protocol import check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample

THRESHOLDS = np.arange(1, 1000) / 1000


class OperatingPoint(NamedTuple):
    """What a detector does when only detections with a score of at least `threshold` are kept; shares from 0 to 1."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class OperatingCurve:
    """Operating points at `THRESHOLDS`, over all images and classes of a dataset.

    precision: the share of the detections that are right, NaN where there are none. recall: the share of the objects
    that are found, NaN where there are none. f1: twice the found over detections and objects, 0 where there are none.
    """

    precision: Float64[np.ndarray, " thresholds"]
    recall: Float64[np.ndarray, " thresholds"]
    f1: Float64[np.ndarray, " thresholds"]

    @property
    def best(self) -> OperatingPoint | None:
        """The point with the highest F1, of several the middle one; None where no detection is right."""
        highest = np.flatnonzero(self.f1 == self.f1.max())
        i = highest[len(highest) // 2]
        if not self.f1[i]:
            return None
        return OperatingPoint(*(float(values[i]) for values in (THRESHOLDS, self.precision, self.recall, self.f1)))


def operating_curve(
    samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
) -> OperatingCurve:
    """Counts right, wrong and missed at IoU 0.5 as COCO matches (see `match_image`), each object weighing the same.

    One matching serves all thresholds. Raises InputError for detections of images or classes that the dataset does
    not have.
    """
    samples = list(samples)
    check_same_dataset(samples, detections, categories)
    objects = sum(int((~sample.ignore).sum()) for sample in samples)
    right, counted = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for sample in samples:
        if sample.id in detections:
            found = detections[sample.id]
            match = match_image(sample, found)
            scores = found.scores.numpy()
            right += _number_above(scores[match.right])
            counted += _number_above(scores[~match.ignored])
    with np.errstate(invalid="ignore"):
        return OperatingCurve(
            precision=right / counted,
            recall=right / np.float64(objects),
            f1=2 * right / np.maximum(counted + objects, 1),
        )


def _number_above(scores: np.ndarray) -> Float64[np.ndarray, " thresholds"]:
    # In the scores' own precision, so that a score of fp32 0.3 is at least 0.3 here as it is in `Detections.above`.
    below = np.searchsorted(np.sort(scores), THRESHOLDS.astype(scores.dtype), side="left")
    return (len(scores) - below).astype(np.float64)
