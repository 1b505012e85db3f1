"""The Jaccard index of CrowdDet (arXiv:2003.09163, section 5.1): how well detections and people pair up, one to one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment

from uncrowd.evaluation.crowd_overlaps import EPSILON, OVERLAP, CrowdOverlaps

# A detection takes part where its score is above the threshold.
THRESHOLDS = np.arange(10) / 10


class PairCounts(NamedTuple):
    """One image at each threshold: pairs, detections and objects; what only ignore regions explain is not counted."""

    pairs: Int64[np.ndarray, " thresholds"]
    detections: Int64[np.ndarray, " thresholds"]
    objects: Int64[np.ndarray, " thresholds"]


def count_pairs(overlaps: CrowdOverlaps) -> PairCounts:
    """Pairs detections and objects at each threshold so that the total IoU is largest, over IoUs above 0.5 alone.

    Then unmatched detections and unmatched objects that lie on ignore regions are taken out. As detections come best
    first, those at a threshold are the first of those below it, and where no candidate is added the pairs stay.
    """
    weights = np.where(overlaps.iou > OVERLAP, overlaps.iou, 0.0)
    candidates = weights.any(axis=1)
    weights, candidates = weights[candidates], np.flatnonzero(candidates)
    above = np.searchsorted(-overlaps.scores, -THRESHOLDS, side="left")
    ignorable_above = np.concatenate([[0], np.cumsum(overlaps.detections_ignorable)])[above]
    counts = PairCounts(
        pairs=np.zeros_like(above),
        detections=above - ignorable_above,
        objects=np.full_like(above, (~overlaps.objects_ignorable).sum()),
    )
    candidates_before, matched = 0, (0, 0, 0)
    for n in reversed(range(len(THRESHOLDS))):
        candidates_above = int(np.searchsorted(candidates, above[n]))
        if candidates_above != candidates_before:
            rows, objects = _match(weights[:candidates_above])
            # A match keeps what an ignore region would have taken out.
            kept = overlaps.detections_ignorable[candidates[rows]].sum(), overlaps.objects_ignorable[objects].sum()
            candidates_before, matched = candidates_above, (len(rows), *kept)
        for column, number in zip(counts, matched, strict=True):
            column[n] += number
    return counts


def jaccard_index(counts: Iterable[PairCounts]) -> Float64[np.ndarray, " thresholds"]:
    """Pairs over (detections + objects - pairs), the mean over the images with any of the last two, by threshold.

    NaN where there is no such image.
    """
    total, images = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for pairs, detections, objects in counts:
        total += pairs / (detections + objects - pairs + EPSILON)
        images += (detections > 0) | (objects > 0)
    return np.divide(total, images, out=np.full(len(THRESHOLDS), np.nan), where=images > 0)


def _match(weights: Float64[np.ndarray, "k p"]) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    rows, objects = linear_sum_assignment(weights, maximize=True)
    matched = weights[rows, objects] > 0
    return rows[matched], objects[matched]
