"""Recall of overlapped objects: which share of the objects that overlap others does a detector find?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from uncrowd.evaluation.analysis.nearest import OVERLAPS, crowding, nearest_objects
from uncrowd.structures import Detections, ImageId, Sample

# The false positives at the threshold, as a share of the objects.
FALSE_POSITIVES = 0.1


@dataclass(frozen=True, kw_only=True)
class OverlappedRecall:
    """What the detections with a score of at least `threshold` find, at one IoU.

    objects, found, duplicates: by the object's largest IoU with another, in the intervals of `OVERLAPS`: 0, to .3, to
    .5, to .7, above. A duplicate is a further detection that matches an object already found. false_positives: all
    wrong detections, duplicates included. threshold: None if no score has so few false positives.
    """

    iou: float
    threshold: float | None
    objects: tuple[int, ...]
    found: tuple[int, ...]
    duplicates: tuple[int, ...]
    false_positives: int

    @property
    def recall(self) -> tuple[float | None, ...]:
        """The share of the objects found, in each interval; None where there are no objects."""
        return tuple(
            found / objects if objects else None for found, objects in zip(self.found, self.objects, strict=True)
        )


def overlapped_recall(
    samples: Iterable[Sample], detections: Mapping[ImageId, Detections], *, iou: float
) -> OverlappedRecall:
    """Returns recall of overlapped objects at one IoU and at the threshold where false positives are 10 % of objects.

    The threshold is the lowest score at which false positives are at most that share. A detection is right if its IoU
    with the object of its class that it overlaps most is at least `iou`, and no better detection matches that object.
    One that matches no object counts neither as right nor as wrong if at least `iou` of its area is on ignored ground
    truth of its class. Ignored ground truth is no object. The order of the images breaks ties between equal scores.
    """
    samples = list(samples)
    intervals = crowding(samples)
    nearest = nearest_objects(samples, detections)
    right, duplicates = nearest.right(iou), nearest.duplicates(iou)
    wrong = duplicates | (~right & (nearest.ignored < iou))
    kept = _with_few_wrong(nearest.scores, wrong, allowed=FALSE_POSITIVES * len(intervals))

    def count(rows: Bool[np.ndarray, " k"]) -> tuple[int, ...]:
        of_found = intervals[nearest.objects[:kept][rows[:kept]]]
        return tuple(np.bincount(of_found, minlength=len(OVERLAPS)).tolist())

    return OverlappedRecall(
        iou=iou,
        threshold=float(nearest.scores[kept - 1]) if kept else None,
        objects=tuple(np.bincount(intervals, minlength=len(OVERLAPS)).tolist()),
        found=count(right),
        duplicates=count(duplicates),
        false_positives=int(wrong[:kept].sum()),
    )


def _with_few_wrong(scores: Float64[np.ndarray, " k"], wrong: Bool[np.ndarray, " k"], *, allowed: float) -> int:
    """Returns how many detections, best first, have at most `allowed` wrong ones; equal scores stay together."""
    is_last_of_its_score = np.append(scores[:-1] != scores[1:], True)[: len(scores)]
    ends = np.flatnonzero(is_last_of_its_score & (np.cumsum(wrong) <= allowed))
    return int(ends[-1]) + 1 if len(ends) else 0
