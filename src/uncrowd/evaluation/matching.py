"""Matches the detections of one image to its ground truth as COCO does."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from uncrowd.structures import Detections, Sample


@dataclass(frozen=True, kw_only=True)
class Match:
    """The result of matching the k detections of one image to its n ground-truth boxes.

    right: detections that found an object. ignored: detections on ignored ground truth, which are neither right nor
    wrong; all other detections are wrong. found: objects that a detection found; always False for ignored ground truth.
    """

    right: Bool[np.ndarray, " k"]
    ignored: Bool[np.ndarray, " k"]
    found: Bool[np.ndarray, " n"]


def match_image(sample: Sample, detections: Detections, *, iou: float = 0.5) -> Match:
    """Matches at one IoU threshold: each detection, best first, takes the free object of its class it overlaps most.

    A detection's match does not depend on the detections with lower scores. So the match of the detections above a
    score threshold is part of the match of all detections, and one matching serves all thresholds.
    """
    overlaps = _overlaps(detections.boxes.double().numpy(), sample.boxes, sample.ignore)
    fits = (overlaps >= iou) & (detections.labels.numpy()[:, None] == sample.labels)
    right, ignored = np.zeros(len(detections), dtype=bool), np.zeros(len(detections), dtype=bool)
    found = np.zeros(len(sample.boxes), dtype=bool)
    best_first = np.argsort(-detections.scores.numpy(), kind="stable")
    for row in best_first[fits.any(axis=1)[best_first]]:
        free = fits[row] & ~found & ~sample.ignore
        if free.any():
            found[np.where(free, overlaps[row], -1.0).argmax()] = right[row] = True
        else:
            ignored[row] = (fits[row] & sample.ignore).any()
    return Match(right=right, ignored=ignored, found=found)


def _overlaps(
    detected: Float64[np.ndarray, "k 4"], truth: Float64[np.ndarray, "n 4"], ignore: Bool[np.ndarray, " n"]
) -> Float64[np.ndarray, "k n"]:
    """Returns IoUs; for ignored ground truth, which may hold many objects, the share of the detection that is on it."""
    corners = np.maximum(detected[:, None, :2], truth[:, :2]), np.minimum(detected[:, None, 2:], truth[:, 2:])
    intersection = (corners[1] - corners[0]).clip(min=0).prod(axis=-1)
    areas = (detected[:, None, 2:] - detected[:, None, :2]).clip(min=0).prod(axis=-1)
    union = areas + (truth[:, 2:] - truth[:, :2]).prod(axis=-1) - intersection
    whole = np.where(ignore, areas, union)
    return intersection / np.where(whole > 0, whole, 1)
