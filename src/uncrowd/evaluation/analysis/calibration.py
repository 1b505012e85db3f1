"""Compares scores with the share of detections that are right: does a score of 0.8 mean right in 80 % of cases?"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hotcoco import metrics
from jaxtyping import Bool, Float

BINS = 10


class CalibrationBin(NamedTuple):
    """The detections with scores from `lower` to `upper`: their mean score, and the share of them that is right."""

    lower: float
    upper: float
    number: int
    score: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well scores say how often a detection is right.

    bins: ten, of all detections; empty ones are left out. error: expected calibration error above the threshold, the
    mean distance of score and share right over ten bins, weighted by their detections (Guo et al., arXiv:1706.04599).
    excess: mean score minus share right above the threshold; positive where scores are too high. Both are None if no
    detection is above the threshold.
    """

    bins: tuple[CalibrationBin, ...]
    error: float | None
    excess: float | None


def calibration(scores: Float[np.ndarray, " k"], right: Bool[np.ndarray, " k"], threshold: float) -> Calibration | None:
    """Returns the calibration of detections that are right or wrong; None if scores are not all within 0 to 1."""
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        return None
    bins = [
        CalibrationBin(b["bin_lower"], b["bin_upper"], b["count"], b["avg_confidence"], b["avg_accuracy"])
        for b in metrics.calibration_curve(scores, right, BINS)
        if b["count"]
    ]
    # the threshold is rounded to the type of the scores, as in `Detections.above`
    kept = scores >= np.asarray(threshold, dtype=scores.dtype)
    if not kept.any():
        return Calibration(bins=tuple(bins), error=None, excess=None)
    return Calibration(
        bins=tuple(bins),
        error=metrics.calibration_error(scores[kept], right[kept], BINS)[0],
        excess=float(scores[kept].mean() - right[kept].mean()),
    )
