"""Recall of overlapped objects: which share of the objects that overlap others does a detector find?

A detection may only match the object of its class that it overlaps most. COCO's matching would give the second of two
detections of one object to the object's neighbour, if that is free and overlaps the detection enough, and so would
count a duplicate as the neighbour's detection.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from uncrowd.boxes import pairwise_iou, pairwise_own_share
from uncrowd.structures import Detections, ImageId, Sample

# Upper ends of the intervals of an object's largest IoU with another; the first one holds objects that overlap none.
OVERLAPS = (0.0, 0.3, 0.5, 0.7, 1.0)
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
class _Nearest:
    """The k detections of all images, best first, each with the object of its class in its image that it overlaps most.

    objects: index among the objects of all images; without meaning where `ious` is 0. ignored: the largest share of
    the detection on ignored ground truth of its class.
    """

    scores: Float64[np.ndarray, " k"]
    objects: Int64[np.ndarray, " k"]
    ious: Float64[np.ndarray, " k"]
    ignored: Float64[np.ndarray, " k"]


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
    intervals = np.concatenate([_intervals(sample) for sample in samples]) if samples else np.zeros(0, dtype=np.int64)
    nearest = _nearest(samples, detections)
    matches = nearest.ious >= iou
    right = _first_of_each(nearest.objects, matches)
    wrong = ~right & (matches | (nearest.ignored < iou))
    kept = _with_few_wrong(nearest.scores, wrong, allowed=FALSE_POSITIVES * len(intervals))

    def count(rows: Bool[np.ndarray, " k"]) -> tuple[int, ...]:
        return _by_interval(intervals[nearest.objects[:kept][rows[:kept]]])

    return OverlappedRecall(
        iou=iou,
        threshold=float(nearest.scores[kept - 1]) if kept else None,
        objects=_by_interval(intervals),
        found=count(right),
        duplicates=count(matches & ~right),
        false_positives=int(wrong[:kept].sum()),
    )


def _nearest(samples: list[Sample], detections: Mapping[ImageId, Detections]) -> _Nearest:
    """Returns the detections of all images, best first."""
    parts: list[np.ndarray] = [np.zeros((4, 0))]
    before = 0  # objects of the images before this one
    for sample in samples:
        if (found := detections.get(sample.id)) is not None and len(found):
            parts.append(_nearest_in_image(sample, found) + np.array([[0], [before], [0], [0]]))
        before += int((~sample.ignore).sum())
    scores, objects, ious, ignored = np.concatenate(parts, axis=1)
    order = np.argsort(-scores, kind="stable")
    return _Nearest(
        scores=scores[order], objects=objects[order].astype(np.int64), ious=ious[order], ignored=ignored[order]
    )


def _nearest_in_image(sample: Sample, found: Detections) -> Float64[np.ndarray, "4 k"]:
    """Returns, as rows, scores, indices of objects in the image, IoUs and shares on ignored ground truth."""
    boxes, truth = found.boxes.double(), torch.from_numpy(sample.boxes)
    same_class = found.labels.numpy()[:, None] == sample.labels
    # A first column of 0 stands for no object, so that an image may have none.
    none = np.zeros((len(found), 1))
    objects, regions = ~sample.ignore, sample.ignore
    ious = np.hstack([none, (pairwise_iou(boxes, truth).numpy() * same_class)[:, objects]])
    ignored = np.hstack([none, (pairwise_own_share(boxes, truth).numpy() * same_class)[:, regions]])
    index = np.maximum(ious.argmax(axis=1) - 1, 0)
    return np.stack([found.scores.double().numpy(), index, ious.max(axis=1), ignored.max(axis=1)])


def _intervals(sample: Sample) -> Int64[np.ndarray, " n"]:
    """Returns for each object the index in `OVERLAPS` of its largest IoU with another object of any class."""
    boxes = torch.from_numpy(sample.boxes[~sample.ignore])
    if not len(boxes):
        return np.zeros(0, dtype=np.int64)
    largest = pairwise_iou(boxes, boxes).fill_diagonal_(0).amax(dim=1).numpy()
    return np.searchsorted(OVERLAPS, largest, side="left")


def _first_of_each(objects: Int64[np.ndarray, " k"], matches: Bool[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
    """Returns which matching detection is the first of its object."""
    rows = np.flatnonzero(matches)
    first = np.zeros(len(objects), dtype=bool)
    first[rows[np.unique(objects[rows], return_index=True)[1]]] = True
    return first


def _with_few_wrong(scores: Float64[np.ndarray, " k"], wrong: Bool[np.ndarray, " k"], *, allowed: float) -> int:
    """Returns how many detections, best first, have at most `allowed` wrong ones; equal scores stay together."""
    is_last_of_its_score = np.append(scores[:-1] != scores[1:], True)[: len(scores)]
    ends = np.flatnonzero(is_last_of_its_score & (np.cumsum(wrong) <= allowed))
    return int(ends[-1]) + 1 if len(ends) else 0


def _by_interval(intervals: Int64[np.ndarray, " n"]) -> tuple[int, ...]:
    return tuple(np.bincount(intervals, minlength=len(OVERLAPS)).tolist())
