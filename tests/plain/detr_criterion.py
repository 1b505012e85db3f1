"""DETR's matching cost and losses of one layer, in loops: a softmax with no object last, L1 of centre and size."""

import math

from tests.plain.iou import Box, giou
from tests.plain.matching_cost import cheapest_assignment
from uncrowd.losses.classification import CrossEntropyConfig
from uncrowd.losses.matcher import LossConfig
from uncrowd.structures import StageOutput, Target

NO_OBJECT = 0.1
CONFIG = LossConfig(
    classes=CrossEntropyConfig(no_object=NO_OBJECT),
    class_weight=1.0,
    l1_weight=5.0,
    l1_of="centre_size",
    giou_weight=2.0,
)


def log_softmax(logits: list[float]) -> list[float]:
    log_total = math.log(sum(math.exp(logit) for logit in logits))
    return [logit - log_total for logit in logits]


def l1_cost(box: Box, target: Box, size: tuple[int, int]) -> float:
    height, width = size

    def centre_and_size(box: Box) -> tuple[float, ...]:
        x1, y1, x2, y2 = box
        return ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)

    return sum(abs(a - b) for a, b in zip(centre_and_size(box), centre_and_size(target), strict=True))


def pair_cost(output: StageOutput, target: Target, image: int, prediction: int, index: int) -> float:
    logits, box = output.logits[image, prediction].tolist(), output.boxes[image, prediction].tolist()
    label, there = int(target.labels[index]), target.boxes[index].tolist()
    return -math.exp(log_softmax(logits)[label]) + 5 * l1_cost(box, there, target.size) - 2 * giou(box, there)


def losses(output: StageOutput, targets: list[Target]) -> tuple[float, float, float]:
    """Returns the unweighted class, L1 and GIoU loss; the class loss is the weighted mean over all predictions."""
    class_loss = weights = l1_loss = giou_loss = 0.0
    objects = max(sum(len(target.labels) for target in targets), 1)  # including those without a match
    for image, target in enumerate(targets):
        predictions = range(output.logits.shape[1])
        cost = [[pair_cost(output, target, image, p, t) for t in range(len(target.labels))] for p in predictions]
        object_of = dict(cheapest_assignment(cost)[1])
        for prediction in predictions:
            of_classes = log_softmax(output.logits[image, prediction].tolist())
            index = object_of.get(prediction)
            weight = NO_OBJECT if index is None else 1.0
            class_loss -= weight * of_classes[-1 if index is None else int(target.labels[index])]
            weights += weight
            if index is not None:
                box, there = output.boxes[image, prediction].tolist(), target.boxes[index].tolist()
                l1_loss += l1_cost(box, there, target.size) / objects
                giou_loss += (1 - giou(box, there)) / objects
    return class_loss / weights, l1_loss, giou_loss
