"""Computes precision, recall and counting error at each score threshold, and the best thresholds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from uncrowd.evaluation.matching import match_image
from uncrowd.evaluation.protocol import check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample
from uncrowd.thresholds import ScoreThresholds

THRESHOLDS = np.arange(1, 1000) / 1000
# A class with fewer objects than this shares the threshold of all classes: chance would choose one of its own.
ENOUGH = 50


class OperatingPoint(NamedTuple):
    """Precision, recall and F1, from 0 to 1, of the detections with a score of at least `threshold`."""

    threshold: float
    precision: float
    recall: float
    f1: float


class CountingPoint(NamedTuple):
    """The total error of the counts of detections with a score of at least `threshold`: see `CountingError`."""

    threshold: float
    total_error: float


@dataclass(frozen=True, kw_only=True)
class OperatingCurve:
    """Precision, recall, F1 and total counting error at each of `THRESHOLDS`, over all images of a dataset.

    precision: the share of the detections that are right; NaN if there are no detections. recall: the share of the
    objects that are found; NaN if there are no objects. f1: 2 * found / (detections + objects); 0 if there are neither.
    counting_error: the sum over images and classes of |detections - objects|, over the objects; NaN if there are none.
    """

    precision: Float64[np.ndarray, " thresholds"]
    recall: Float64[np.ndarray, " thresholds"]
    f1: Float64[np.ndarray, " thresholds"]
    counting_error: Float64[np.ndarray, " thresholds"]

    @property
    def best(self) -> OperatingPoint | None:
        """The point with the highest F1, the middle one if several share it; None if no detection is right."""
        i = _middle(self.f1 == self.f1.max())
        if not self.f1[i]:
            return None
        return OperatingPoint(*(float(values[i]) for values in (THRESHOLDS, self.precision, self.recall, self.f1)))

    @property
    def best_count(self) -> CountingPoint | None:
        """The point with the lowest counting error, the middle one if several share it; None without objects."""
        if np.isnan(self.counting_error).all():
            return None
        i = _middle(self.counting_error == self.counting_error.min())
        return CountingPoint(float(THRESHOLDS[i]), float(self.counting_error[i]))


def operating_curve(
    samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
) -> OperatingCurve:
    """Returns precision, recall and counting error at IoU 0.5, matched as COCO does (see `match_image`).

    Every object has the same weight, whatever its image and class. One matching serves all thresholds. Raises
    InputError for detections of images or classes that the dataset does not have.
    """
    return _tally(samples, detections, categories).curve()


def best_thresholds(
    samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
) -> ScoreThresholds | None:
    """Returns the thresholds of the highest F1 and of the lowest counting error; None if no detection is right.

    A class of at least 50 objects has thresholds of its own, the others share those of all classes together. Of equally
    good thresholds the middle one is taken. Raises InputError as `operating_curve` does.
    """
    tally = _tally(samples, detections, categories)
    of_all = tally.curve()
    best, best_count = of_all.best, of_all.best_count
    if best is None or best_count is None:
        return None
    f1, count = (dict.fromkeys(categories.names, point.threshold) for point in (best, best_count))
    for label, name in enumerate(categories.names):
        own = tally.curve(label)
        if tally.objects[label] >= ENOUGH and own.best is not None and own.best_count is not None:
            f1[name], count[name] = own.best.threshold, own.best_count.threshold
    return ScoreThresholds(f1=f1, count=count)


class _Tally(NamedTuple):
    """Sums over images, for each class: objects, and at each threshold detections, right ones and counting errors."""

    objects: Int64[np.ndarray, " classes"]
    counted: Float64[np.ndarray, "classes thresholds"]
    right: Float64[np.ndarray, "classes thresholds"]
    off: Float64[np.ndarray, "classes thresholds"]

    def curve(self, label: int | None = None) -> OperatingCurve:
        """Returns the curve of one class, or that of all classes together."""
        rows = slice(None) if label is None else slice(label, label + 1)
        objects, counted, right, off = (values[rows].sum(axis=0) for values in self)
        with np.errstate(invalid="ignore"):
            return OperatingCurve(
                precision=right / counted,
                recall=right / np.float64(objects),
                f1=2 * right / np.maximum(counted + objects, 1),
                counting_error=off / objects if objects else np.full(len(THRESHOLDS), np.nan),
            )


def _tally(samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories) -> _Tally:
    samples = list(samples)
    check_same_dataset(samples, detections, categories)
    classes = len(categories)
    objects = np.zeros(classes, dtype=np.int64)
    counted, right, off = (np.zeros((classes, len(THRESHOLDS))) for _ in range(3))
    for sample in samples:
        in_image = np.bincount(sample.labels[~sample.ignore], minlength=classes)
        objects += in_image
        number = np.zeros_like(counted)
        if sample.id in detections:
            found = detections[sample.id]
            match = match_image(sample, found)
            scores, labels = found.scores.numpy(), found.labels.numpy()
            for label in np.unique(labels):
                right[label] += _number_above(scores[match.right & (labels == label)])
                number[label] = _number_above(scores[~match.ignored & (labels == label)])
        counted += number
        off += np.abs(number - in_image[:, None])
    return _Tally(objects=objects, counted=counted, right=right, off=off)


def _middle(chosen: np.ndarray) -> int:
    """Returns the index in the middle of those that are True."""
    indices = np.flatnonzero(chosen)
    return int(indices[len(indices) // 2])


def _number_above(scores: np.ndarray) -> Float64[np.ndarray, " thresholds"]:
    # Thresholds are rounded to the dtype of the scores, so that an fp32 score of 0.3 counts as at least 0.3, as in
    # `Detections.above`.
    below = np.searchsorted(np.sort(scores), THRESHOLDS.astype(scores.dtype), side="left")
    return (len(scores) - below).astype(np.float64)
