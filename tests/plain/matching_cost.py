"""The cost of pairing one prediction with one object, and the cheapest of all assignments, found by trying each."""

import itertools
import math
from collections.abc import Sequence

from tests.plain.iou import Box, giou

CLASS_WEIGHT, L1_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0
ALPHA, GAMMA = 0.25, 2.0


def class_cost(logit: float) -> float:
    """Returns the focal loss with the object minus the focal loss without it."""
    p = 1 / (1 + math.exp(-logit))
    positive = -ALPHA * (1 - p) ** GAMMA * math.log(p + 1e-8)
    negative = -(1 - ALPHA) * p**GAMMA * math.log(1 - p + 1e-8)
    return positive - negative


def l1_cost(box: Box, target: Box, size: tuple[int, int]) -> float:
    """size: (height, width) of the unpadded image."""
    height, width = size
    return sum(abs(a - b) / side for a, b, side in zip(box, target, (width, height, width, height), strict=True))


def pair_cost(logits: Sequence[float], box: Box, label: int, target: Box, size: tuple[int, int]) -> float:
    return (
        CLASS_WEIGHT * class_cost(logits[label])
        + L1_WEIGHT * l1_cost(box, target, size)
        - GIOU_WEIGHT * giou(box, target)
    )


def cheapest_assignment(cost: Sequence[Sequence[float]]) -> tuple[float, list[tuple[int, int]]]:
    """cost[prediction][object]. Tries every assignment; returns the least total and its pairs, by prediction."""
    predictions, objects = len(cost), len(cost[0]) if cost else 0
    best: tuple[float, list[tuple[int, int]]] = (math.inf, [])
    if predictions <= objects:
        choices = (list(enumerate(chosen)) for chosen in itertools.permutations(range(objects), predictions))
    else:
        choices = (
            sorted((p, o) for o, p in enumerate(chosen))
            for chosen in itertools.permutations(range(predictions), objects)
        )
    for pairs in choices:
        total = sum(cost[p][o] for p, o in pairs)
        if total < best[0]:
            best = (total, pairs)
    return best
