"""IoU and generalized IoU of two boxes, in plain arithmetic."""

from collections.abc import Sequence

Box = Sequence[float]  # x1, y1, x2, y2


def area(box: Box) -> float:
    x1, y1, x2, y2 = box
    return max(x2 - x1, 0.0) * max(y2 - y1, 0.0)


def intersection(a: Box, b: Box) -> float:
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def union(a: Box, b: Box) -> float:
    return area(a) + area(b) - intersection(a, b)


def iou(a: Box, b: Box) -> float:
    return intersection(a, b) / union(a, b) if union(a, b) > 0 else 0.0


def giou(a: Box, b: Box) -> float:
    hull = area((min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])))
    return iou(a, b) - (hull - union(a, b)) / hull if hull > 0 else iou(a, b)


def pairwise_iou(boxes1: Sequence[Box], boxes2: Sequence[Box]) -> list[list[float]]:
    return [[iou(a, b) for b in boxes2] for a in boxes1]


def self_iou(boxes: Sequence[Box]) -> list[list[float]]:
    """Returns IoU as the attention uses it: a box without area overlaps itself and nothing else."""
    return [[1.0 if i == j else iou(a, b) for j, b in enumerate(boxes)] for i, a in enumerate(boxes)]
