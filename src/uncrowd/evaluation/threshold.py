"""Computes precision and recall at each score threshold, and the threshold with the best F1 as a first choice."""

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
    """Precision, recall and F1, from 0 to 1, of the detections with a score of at least `threshold`."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class OperatingCurve:
    """Precision, recall and F1 at each of `THRESHOLDS`, over all images and classes of a dataset.

    precision: the share of the detections that are right; NaN if there are no detections. recall: the share of the
    objects that are found; NaN if there are no objects. f1: 2 * found / (detections + objects); 0 if there are neither.
    """

    precision: Float64[np.ndarray, " thresholds"]
    recall: Float64[np.ndarray, " thresholds"]
    f1: Float64[np.ndarray, " thresholds"]

    @property
    def best(self) -> OperatingPoint | None:
        """The point with the highest F1, the middle one if several share it; None if no detection is right."""
        highest = np.flatnonzero(self.f1 == self.f1.max())
        i = highest[len(highest) // 2]
        if not self.f1[i]:
            return None
        return OperatingPoint(*(float(values[i]) for values in (THRESHOLDS, self.precision, self.recall, self.f1)))


def operating_curve(
    samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
) -> OperatingCurve:
    """Returns precision, recall and F1 at IoU 0.5, matched as COCO does (see `match_image`).

    Every object has the same weight, whatever its image and class. One matching serves all thresholds. Raises
    InputError for detections of images or classes that the dataset does not have.
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
    # Thresholds are rounded to the dtype of the scores, so that an fp32 score of 0.3 counts as at least 0.3, as in
    # `Detections.above`.
    below = np.searchsorted(np.sort(scores), THRESHOLDS.astype(scores.dtype), side="left")
    return (len(scores) - below).astype(np.float64)
