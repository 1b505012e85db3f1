"""Computes CrowdHuman's scores (arXiv:1805.00123) and JI as CrowdDet and its successors do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from uncrowd.errors import InputError
from uncrowd.evaluation.crowd_overlaps import OVERLAP, CrowdOverlaps, crowd_overlaps
from uncrowd.evaluation.jaccard_index import PairCounts, count_pairs, jaccard_index
from uncrowd.evaluation.protocol import Scores, check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample
from uncrowd.words import first

# mMR averages the miss rates at these numbers of false positives per image, evenly spaced on a logarithmic scale.
REFERENCE_FPPI = np.array([0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0])


_MEANINGS = {
    "AP": "area under precision over recall; a box is right if its IoU with an object not yet found is above 0.5",
    "mMR": "share of the objects missed, geometric mean over 0.01 to 1 wrong boxes per image; lower is better",
    "Recall": "share of the objects that all boxes find, however low their score",
    "JI": "Jaccard index of boxes and objects, mean over images, at the best of ten score thresholds",
}


@dataclass(frozen=True, kw_only=True)
class CrowdHumanEvaluator:
    """Computes AP, mMR, Recall and JI of one class; all detections of an image count.

    with_jaccard_index: whether to compute JI, which takes most of the time.
    """

    with_jaccard_index: bool = True

    def evaluate(
        self, samples: Iterable[Sample], detections: Mapping[ImageId, Detections], categories: Categories
    ) -> Scores:
        """Returns AP at IoU 0.5, the log-average miss rate (mMR, lower is better), Recall, and JI.

        Boxes may reach past the image; they are clipped here. Ignored ground truth is an ignore region: a detection
        that matches no object counts neither as right nor as wrong if more than half of it lies on one. The order of
        the images breaks ties between equal scores. All scores are None if the dataset has no objects. Images are
        matched one at a time, and only the results stay in memory.

        Raises InputError for more than one class, and for detections of images or classes that the dataset does not
        have.
        """
        samples = list(samples)
        require_one_class(categories)
        check_same_dataset(samples, detections, categories)
        matched: list[CrowdMatch] = []
        counts: list[PairCounts] = []
        for sample in samples:
            overlaps = crowd_overlaps(sample, detections.get(sample.id))
            matched.append(match_crowd(overlaps))
            if self.with_jaccard_index:
                counts.append(count_pairs(overlaps))
        objects = sum(int((~sample.ignore).sum()) for sample in samples)
        values = curve_values(_best_first(matched), objects=objects, images=len(samples))
        if self.with_jaccard_index:
            by_threshold = jaccard_index(counts)
            defined = objects > 0 and not np.isnan(by_threshold).all()
            values["JI"] = float(np.nanmax(by_threshold)) if defined else None
        return Scores(headline="AP", values=values, per_class={categories.names[0]: values["AP"]}, meanings=_MEANINGS)


def require_one_class(categories: Categories) -> None:
    """Raises InputError unless there is exactly one class."""
    if len(categories) != 1:
        raise InputError(
            f"CrowdHuman's protocol scores one class, but the dataset has {len(categories)} "
            f"({first(categories.names, 3)}); use COCO's protocol instead."
        )


@dataclass(frozen=True, kw_only=True)
class CrowdMatch:
    """The detections of one image that count, best first; `right` is True for those that found an object."""

    scores: Float64[np.ndarray, " k"]
    right: Bool[np.ndarray, " k"]


def match_crowd(overlaps: CrowdOverlaps) -> CrowdMatch:
    """Matches each detection, best first, to the object not yet taken with which it has the highest IoU.

    A detection without such an object does not count if it lies on an ignore region.
    """
    detections, objects = np.nonzero(overlaps.iou > OVERLAP)
    most_first = np.lexsort((-overlaps.iou[detections, objects], detections))  # stable
    right = np.zeros(len(overlaps.scores), dtype=bool)
    taken: set[int] = set()
    last = -1
    for detection, object_ in zip(detections[most_first].tolist(), objects[most_first].tolist(), strict=True):
        if detection != last and object_ not in taken:
            taken.add(object_)
            right[detection] = True
            last = detection
    counts = right | ~overlaps.detections_ignorable
    return CrowdMatch(scores=overlaps.scores[counts], right=right[counts])


def curve_values(right: Bool[np.ndarray, " k"], *, objects: int, images: int) -> dict[str, float | None]:
    """Returns AP, mMR and Recall of the detections of all images, best first, of which some are right."""
    if objects == 0:
        return {"AP": None, "mMR": None, "Recall": None}
    if not len(right):
        return {"AP": 0.0, "mMR": 1.0, "Recall": 0.0}
    found, wrong = np.cumsum(right), np.cumsum(~right)
    recall, precision = found / objects, found / (found + wrong)
    # The area is that of trapezoids between the points: no precision envelope, and nothing from recall 0 to the first.
    ap = (np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum()
    at_reference = np.searchsorted(wrong / images, REFERENCE_FPPI, side="left")
    with np.errstate(divide="ignore"):  # a miss rate of 0 makes the geometric mean 0
        miss_rate = np.log(1 - recall[np.minimum(at_reference, len(recall) - 1)])
    return {"AP": float(ap), "mMR": float(np.exp(miss_rate.mean())), "Recall": float(recall[-1])}


def _best_first(matched: list[CrowdMatch]) -> Bool[np.ndarray, " k"]:
    """Returns which detections of all images are right, best first; equal scores keep the order of the images."""
    scores = np.concatenate([np.zeros(0), *(image.scores for image in matched)])
    right = np.concatenate([np.zeros(0, dtype=bool), *(image.right for image in matched)])
    return right[np.argsort(-scores, kind="stable")]
