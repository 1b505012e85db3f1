"""Recall of overlapped objects: which share of the objects that overlap others does a detector find?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

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


@dataclass(frozen=True, kw_only=True)
class OverlappedMatches:
    """The k detections of all images, best first, matched at one IoU; see `overlapped_recall`.

    images: index of the image of each detection. right, duplicates, wrong: duplicates are wrong too. crowding: the
    interval of the object that a right detection or a duplicate matches. objects: the number of objects of each image
    in each interval.
    """

    iou: float
    scores: Float64[np.ndarray, " k"]
    images: Int64[np.ndarray, " k"]
    right: Bool[np.ndarray, " k"]
    duplicates: Bool[np.ndarray, " k"]
    wrong: Bool[np.ndarray, " k"]
    crowding: Int64[np.ndarray, " k"]
    objects: Int64[np.ndarray, "images intervals"]

    @classmethod
    def of(
        cls, samples: Iterable[Sample], detections: Mapping[ImageId, Detections], *, iou: float
    ) -> "OverlappedMatches":
        """Matches the detections of all images at one IoU."""
        samples = list(samples)
        nearest = nearest_objects(samples, detections)
        right, duplicates = nearest.right(iou), nearest.duplicates(iou)
        intervals = np.append(crowding(samples), 0)  # the last entry stands for the object of a match with none
        counts = [np.bincount(crowding([sample]), minlength=len(OVERLAPS)) for sample in samples]
        return cls(
            iou=iou,
            scores=nearest.scores,
            images=nearest.images,
            right=right,
            duplicates=duplicates,
            wrong=duplicates | (~right & (nearest.ignored < iou)),
            crowding=intervals[np.where(right | duplicates, nearest.objects, -1)],
            objects=np.array(counts, dtype=np.int64).reshape(-1, len(OVERLAPS)),
        )

    def recall(self, drawn: Int64[np.ndarray, " images"]) -> OverlappedRecall:
        """Returns what is found in a dataset that has image i `drawn[i]` times.

        The match of a detection depends on its own image alone, so only the threshold has to be found again.
        """
        objects, times = drawn @ self.objects, drawn[self.images]
        kept = _with_few_wrong(self.scores, times * self.wrong, allowed=FALSE_POSITIVES * int(objects.sum()))

        def count(rows: Bool[np.ndarray, " k"]) -> tuple[int, ...]:
            rows = rows[:kept]
            numbers = np.bincount(self.crowding[:kept][rows], times[:kept][rows], minlength=len(OVERLAPS))
            return tuple(numbers.astype(int).tolist())

        return OverlappedRecall(
            iou=self.iou,
            threshold=float(self.scores[kept - 1]) if kept else None,
            objects=tuple(objects.tolist()),
            found=count(self.right),
            duplicates=count(self.duplicates),
            false_positives=int((times * self.wrong)[:kept].sum()),
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
    return OverlappedMatches.of(samples, detections, iou=iou).recall(np.ones(len(samples), dtype=np.int64))


def _with_few_wrong(scores: Float64[np.ndarray, " k"], wrong: Int64[np.ndarray, " k"], *, allowed: float) -> int:
    """Returns how many detections, best first, have at most `allowed` wrong ones; equal scores stay together.

    wrong: how many wrong ones each detection stands for.
    """
    is_last_of_its_score = np.append(scores[:-1] != scores[1:], True)[: len(scores)]
    ends = np.flatnonzero(is_last_of_its_score & (np.cumsum(wrong) <= allowed))
    return int(ends[-1]) + 1 if len(ends) else 0
