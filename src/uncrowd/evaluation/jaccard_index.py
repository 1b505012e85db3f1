"""Computes CrowdDet's Jaccard index (arXiv:2003.09163): how well detections and people pair one to one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment

from uncrowd.evaluation.crowd_overlaps import EPSILON, OVERLAP, CrowdOverlaps

# At each threshold only the detections with a score above it are paired.
THRESHOLDS = np.arange(10) / 10


class PairCounts(NamedTuple):
    """The numbers of pairs, detections and objects of one image at each threshold.

    Unpaired detections and objects that lie on ignore regions are not counted.
    """

    pairs: Int64[np.ndarray, " thresholds"]
    detections: Int64[np.ndarray, " thresholds"]
    objects: Int64[np.ndarray, " thresholds"]


def count_pairs(overlaps: CrowdOverlaps) -> PairCounts:
    """Pairs detections with objects at each threshold and counts the pairs and what is left.

    Only IoUs above 0.5 can form a pair, and the pairs are chosen so that the sum of their IoUs is largest. Unpaired
    detections and objects on ignore regions are not counted. The loop goes from the highest threshold down, which only
    adds detections at the end, so the pairs are computed again only if an added detection can form one.
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
            # Paired boxes count even on an ignore region; the counts above leave them out, so they are added below.
            kept = overlaps.detections_ignorable[candidates[rows]].sum(), overlaps.objects_ignorable[objects].sum()
            candidates_before, matched = candidates_above, (len(rows), *kept)
        for column, number in zip(counts, matched, strict=True):
            column[n] += number
    return counts


def jaccard_index(counts: Iterable[PairCounts]) -> Float64[np.ndarray, " thresholds"]:
    """Returns the mean of pairs / (detections + objects - pairs) over images, for each threshold.

    Images with neither detections nor objects are left out; the value is NaN if no image is left.
    """
    total, images = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    for each in counts:
        index = index_of_image(each)
        total += np.nan_to_num(index)
        images += ~np.isnan(index)
    return np.divide(total, images, out=np.full(len(THRESHOLDS), np.nan), where=images > 0)


def index_of_image(counts: PairCounts) -> Float64[np.ndarray, " thresholds"]:
    """Returns pairs / (detections + objects - pairs) of one image; NaN where it has neither detections nor objects."""
    pairs, detections, objects = counts
    return np.where((detections > 0) | (objects > 0), pairs / (detections + objects - pairs + EPSILON), np.nan)


def _match(weights: Float64[np.ndarray, "k p"]) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    rows, objects = linear_sum_assignment(weights, maximize=True)
    matched = weights[rows, objects] > 0
    return rows[matched], objects[matched]
