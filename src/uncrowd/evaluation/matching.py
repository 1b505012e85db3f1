"""Which detections of one image are right, and which objects they found."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from uncrowd.structures import Detections, Sample


@dataclass(frozen=True, kw_only=True)
class Match:
    """One image's detections against its ground truth.

    right: detections that found an object. ignored: detections on ignored ground truth, which count neither way; the
    others are wrong. found: ground truth that was found, never that to ignore.
    """

    right: Bool[np.ndarray, " k"]
    ignored: Bool[np.ndarray, " k"]
    found: Bool[np.ndarray, " n"]


def match_image(sample: Sample, detections: Detections, *, iou: float = 0.5) -> Match:
    """COCO's matching at one IoU: each detection, the best first, takes the object of its class it fits best.

    An object is taken once. As a detection never sees those after it, leaving out the weak ones changes nothing for
    the others: the match at a score threshold is a part of the match of all.
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
    """IoU; with ground truth to ignore, which may hold many objects, the share of the detection that lies on it."""
    corners = np.maximum(detected[:, None, :2], truth[:, :2]), np.minimum(detected[:, None, 2:], truth[:, 2:])
    intersection = (corners[1] - corners[0]).clip(min=0).prod(axis=-1)
    areas = (detected[:, None, 2:] - detected[:, None, :2]).clip(min=0).prod(axis=-1)
    union = areas + (truth[:, 2:] - truth[:, :2]).prod(axis=-1) - intersection
    whole = np.where(ignore, areas, union)
    return intersection / np.where(whole > 0, whole, 1)
