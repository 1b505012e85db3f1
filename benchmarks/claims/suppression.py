"""What makes detections of overlapping candidates: NMS, and Soft-NMS (arXiv:1704.04503)."""

import torch
from torchvision.ops import batched_nms

from uncrowd.boxes import pairwise_iou
from uncrowd.structures import Detections

# The IoUs of NMS from which the validation split chooses.
NMS_IOUS = (0.4, 0.5, 0.6, 0.7, 0.8)
# The variance of Soft-NMS's Gaussian, and the score below which a detection is dropped, both as in the paper.
SIGMA = 0.5
LEAST = 0.001


def nms(candidates: Detections, *, iou: float, most: int | None = None) -> Detections:
    """Returns the best `most` detections of an image that overlap no better one of their class by more than `iou`.

    most: None for all of them.
    """
    kept = batched_nms(candidates.boxes, candidates.scores, candidates.labels, iou)[:most]
    return Detections(
        boxes=candidates.boxes[kept],
        scores=candidates.scores[kept],
        labels=candidates.labels[kept],
        categories=candidates.categories,
    )


def soft_nms(candidates: Detections, *, most: int | None = None) -> Detections:
    """Returns the best `most` detections of an image by Gaussian Soft-NMS. most: None for all of them.

    The best candidate is taken, and the scores of the others of its class are multiplied by exp(-IoU^2 / SIGMA); then
    the best of those that are left is taken, and so on.
    """
    same_class = candidates.labels[:, None] == candidates.labels
    decays = torch.exp(-(pairwise_iou(candidates.boxes, candidates.boxes) ** 2) / SIGMA).where(same_class, 1)
    left, scores = candidates.scores.clone(), []
    taken: list[int] = []
    while len(taken) < (len(left) if most is None else min(most, len(left))):
        score, best = left.max(dim=0)
        if score < LEAST:
            break
        taken.append(int(best))
        scores.append(score.clone())
        left *= decays[best]
        left[best] = -1
    return Detections(
        boxes=candidates.boxes[taken],
        scores=torch.stack(scores) if scores else candidates.scores[:0],
        labels=candidates.labels[taken],
        categories=candidates.categories,
    )
