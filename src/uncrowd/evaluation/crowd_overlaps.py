"""Computes the overlaps between detections, objects and ignore regions of one image for CrowdHuman's protocol."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from uncrowd.structures import Detections, Sample

# A detection matches an object above this IoU, and an ignore region if more than this share of its area lies on it.
OVERLAP = 0.5
# CrowdDet adds this to denominators to avoid division by zero; it changes the last digits for small boxes.
EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class CrowdOverlaps:
    """The overlaps of the k detections of one image, best first, with its p objects and its ignore regions.

    iou: the IoU of each detection with each object. detections_ignorable, objects_ignorable: True for a box if more
    than half of its area lies on a single ignore region.
    """

    scores: Float64[np.ndarray, " k"]
    iou: Float64[np.ndarray, "k p"]
    detections_ignorable: Bool[np.ndarray, " k"]
    objects_ignorable: Bool[np.ndarray, " p"]


def crowd_overlaps(sample: Sample, found: Detections | None) -> CrowdOverlaps:
    """Returns the overlaps of boxes after clipping them to the image.

    Clipping follows CrowdDet: x1 and y1 are at most w - 1 and h - 1, x2 and y2 at most w and h. Detections with equal
    scores keep their order. If `found` is None, the image has no detections.
    """
    if found is None:
        boxes, scores = np.zeros((0, 4)), np.zeros(0)
    else:
        boxes, scores = found.boxes.double().numpy(), found.scores.double().numpy()
    assert np.isfinite(boxes).all(), "a detection is NaN or infinite"
    assert np.isfinite(scores).all(), "a score is NaN or infinite"
    best_first = np.argsort(-scores, kind="stable")
    detected, truth = _clipped(boxes[best_first], sample.size), _clipped(sample.boxes, sample.size)
    objects, regions = truth[~sample.ignore], truth[sample.ignore]

    intersection = _intersection(detected, objects)
    union = _area(detected)[:, None] + _area(objects) - intersection
    return CrowdOverlaps(
        scores=scores[best_first],
        iou=intersection / (union + EPSILON),
        detections_ignorable=_ignorable(detected, regions),
        objects_ignorable=_ignorable(objects, regions),
    )


def _clipped(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Float64[np.ndarray, "n 4"]:
    height, width = size
    return np.clip(boxes.astype(np.float64), 0.0, (width - 1.0, height - 1.0, width, height))


def _area(boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def _intersection(a: Float64[np.ndarray, "n 4"], b: Float64[np.ndarray, "m 4"]) -> Float64[np.ndarray, "n m"]:
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def _ignorable(boxes: Float64[np.ndarray, "n 4"], regions: Float64[np.ndarray, "m 4"]) -> Bool[np.ndarray, " n"]:
    covered = _intersection(boxes, regions).max(axis=1, initial=0)
    return covered / (_area(boxes) + EPSILON) > OVERLAP
