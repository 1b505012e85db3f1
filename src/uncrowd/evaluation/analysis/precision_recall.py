"""Precision over recall at several IoUs."""

from typing import NamedTuple

import hotcoco
import numpy as np
from jaxtyping import Float64

# The IoUs from which a detection is right: lenient, tight, nearly exact.
IOUS = (0.5, 0.75, 0.9)
RECALLS = np.arange(101) / 100


class PrecisionRecall(NamedTuple):
    """Precision at each of `RECALLS`, the mean over classes with objects, and AP, which is the mean of these.

    Precision at a recall is the highest at that or any higher recall, as COCO defines it; 0 where it is not reached.
    """

    iou: float
    precision: Float64[np.ndarray, " 101"]
    ap: float


def precision_recall(everything: hotcoco.COCOeval) -> tuple[PrecisionRecall, ...]:
    """Returns the curve at each IoU of the matching; none if there are no objects."""
    everything.accumulate()
    assert everything.eval is not None
    precision = everything.eval["precision"][..., 0, 0]  # IoU, recall, class
    with_objects = (precision > -1).all(axis=(0, 1))
    if not with_objects.any():
        return ()
    means = precision[:, :, with_objects].mean(axis=2)
    return tuple(
        PrecisionRecall(iou, curve, float(curve.mean()))
        for iou, curve in zip(everything.params.iou_thrs, means, strict=True)
    )
