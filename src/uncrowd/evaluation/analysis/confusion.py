"""Counts which classes are taken for which."""

from dataclasses import dataclass
from typing import NamedTuple

import hotcoco
import numpy as np
from jaxtyping import Int64


class ConfusedPair(NamedTuple):
    """`number` objects of class `truth` were taken for class `detected`; these are a `share` of its objects."""

    truth: str
    detected: str
    number: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Which objects were taken for which class: at IoU 0.5, each detection takes the free object it overlaps most.

    matrix: the number of objects of each class (row) that were taken for each class (column). It has one row more,
    which counts detections on no object, and one column more, which counts objects without a detection. names: those
    of the classes, in order.
    """

    names: list[str]
    matrix: Int64[np.ndarray, "k k"]

    def worst(self, most: int) -> list[ConfusedPair]:
        """Returns the pairs of classes that are confused most often, at most `most` of them."""
        classes = self.matrix[:-1, :-1].copy()
        np.fill_diagonal(classes, 0)
        order = np.argsort(-classes, axis=None, kind="stable")[:most]
        pairs = zip(*(axis.tolist() for axis in np.unravel_index(order, classes.shape)), strict=True)
        return [
            ConfusedPair(self.names[i], self.names[j], int(classes[i, j]), float(classes[i, j] / self.matrix[i].sum()))
            for i, j in pairs
            if classes[i, j]
        ]


def confusion(above_threshold: hotcoco.COCOeval, names: list[str], *, max_dets: int) -> Confusion:
    """Returns the confusion of the matched detections. max_dets: the most detections of an image."""
    matrix = above_threshold.confusion_matrix(iou_thr=0.5, max_det=max_dets)["matrix"]
    return Confusion(names=names, matrix=matrix.astype(np.int64))
