"""Matches each detection only to the object of its class that it overlaps most: one rule for duplicates in crowds.

COCO's matching would give the second of two detections of one object to the object's neighbour, if that is free and
overlaps the detection enough, and so would count a duplicate as the neighbour's detection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from uncrowd.boxes import pairwise_iou, pairwise_own_share
from uncrowd.structures import Detections, ImageId, Sample

# Upper ends of the intervals of an object's largest IoU with another; the first one holds objects that overlap none.
OVERLAPS = (0.0, 0.3, 0.5, 0.7, 1.0)


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The k detections of all images, best first, each with the object of its class in its image that it overlaps most.

    images: index of the image. objects: index among the objects of all images; without meaning where `ious` is 0.
    ignored: the largest share of the detection on ignored ground truth of its class.
    """

    scores: Float64[np.ndarray, " k"]
    images: Int64[np.ndarray, " k"]
    objects: Int64[np.ndarray, " k"]
    ious: Float64[np.ndarray, " k"]
    ignored: Float64[np.ndarray, " k"]

    def right(self, iou: float) -> Bool[np.ndarray, " k"]:
        """Returns which detections are the best of an object that they overlap by at least `iou`."""
        rows = np.flatnonzero(self.ious >= iou)
        first = np.zeros(len(self.objects), dtype=bool)
        first[rows[np.unique(self.objects[rows], return_index=True)[1]]] = True
        return first

    def duplicates(self, iou: float) -> Bool[np.ndarray, " k"]:
        """Returns which detections overlap an object by at least `iou` that a better one has found."""
        return (self.ious >= iou) & ~self.right(iou)


def nearest_objects(samples: Sequence[Sample], detections: Mapping[ImageId, Detections]) -> Nearest:
    """Returns the detections of all images, best first; the order of the images breaks ties between equal scores."""
    parts: list[np.ndarray] = [np.zeros((4, 0))]
    images: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    before = 0  # objects of the images before this one
    for index, sample in enumerate(samples):
        if (found := detections.get(sample.id)) is not None and len(found):
            parts.append(_nearest_in_image(sample, found) + np.array([[0], [before], [0], [0]]))
            images.append(np.full(len(found), index))
        before += int((~sample.ignore).sum())
    scores, objects, ious, ignored = np.concatenate(parts, axis=1)
    order = np.argsort(-scores, kind="stable")
    return Nearest(
        scores=scores[order],
        images=np.concatenate(images)[order],
        objects=objects[order].astype(np.int64),
        ious=ious[order],
        ignored=ignored[order],
    )


def crowding(samples: Sequence[Sample]) -> Int64[np.ndarray, " n"]:
    """Returns for each object the index in `OVERLAPS` of its largest IoU with another object of any class."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *(_crowding_in_image(sample) for sample in samples)])


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


def _crowding_in_image(sample: Sample) -> Int64[np.ndarray, " n"]:
    boxes = torch.from_numpy(sample.boxes[~sample.ignore])
    if not len(boxes):
        return np.zeros(0, dtype=np.int64)
    largest = pairwise_iou(boxes, boxes).fill_diagonal_(0).amax(dim=1).numpy()
    return np.searchsorted(OVERLAPS, largest, side="left")
