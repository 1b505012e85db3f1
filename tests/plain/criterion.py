"""The training loss in loops over stages, images, predictions and classes."""

import math

from tests.plain.iou import giou, iou
from tests.plain.matching_cost import (
    ALPHA,
    CLASS_WEIGHT,
    GAMMA,
    GIOU_WEIGHT,
    L1_WEIGHT,
    cheapest_assignment,
    l1_cost,
    pair_cost,
)
from uncrowd.structures import StageOutput, Target


def focal_loss(logit: float, wanted: bool) -> float:
    p = 1 / (1 + math.exp(-logit))
    if wanted:
        return -ALPHA * (1 - p) ** GAMMA * math.log(p)
    return -(1 - ALPHA) * p**GAMMA * math.log(1 - p)


def quality_loss(logit: float, overlap: float | None) -> float:
    """IA-BCE with its published settings. overlap: the IoU with the matched object, None without a match."""
    p = 1 / (1 + math.exp(-logit))
    if overlap is None:
        return -(p**GAMMA) * math.log(1 - p)
    quality = max(p**0.25 * overlap**0.75, 0.01)
    return -quality * math.log(p) - (1 - quality) * math.log(1 - p)


def matched_pairs(outputs: list[StageOutput], targets: list[Target]) -> list[list[list[tuple[int, int]]]]:
    """Returns the (prediction, object) pairs of each stage and image, found by trying every assignment."""
    stages = []
    for output in outputs:
        images = []
        for logits, boxes, target in zip(output.logits.tolist(), output.boxes.tolist(), targets, strict=True):
            objects = list(zip(target.labels.tolist(), target.boxes.tolist(), strict=True))
            cost = [
                [pair_cost(logits[p], boxes[p], label, box, target.size) for label, box in objects]
                for p in range(len(boxes))
            ]
            images.append(cheapest_assignment(cost)[1])
        stages.append(images)
    return stages


def losses(
    outputs: list[StageOutput], targets: list[Target], num_boxes: float, *, quality: bool = False
) -> list[tuple[float, float, float]]:
    """Returns the unweighted class, L1 and GIoU loss of each stage. quality: the target of a match, in place of 1."""
    results = []
    for output, images in zip(outputs, matched_pairs(outputs, targets), strict=True):
        class_loss = l1_loss = giou_loss = 0.0
        for image, pairs in enumerate(images):
            target, object_of = targets[image], dict(pairs)
            labels, objects = target.labels.tolist(), target.boxes.tolist()
            for prediction, logits in enumerate(output.logits[image].tolist()):
                label = labels[object_of[prediction]] if prediction in object_of else None
                for c, logit in enumerate(logits):
                    if quality:
                        box = output.boxes[image, prediction].tolist()
                        class_loss += quality_loss(
                            logit, iou(box, objects[object_of[prediction]]) if c == label else None
                        )
                    else:
                        class_loss += focal_loss(logit, wanted=c == label)
            for prediction, index in pairs:
                box = output.boxes[image, prediction].tolist()
                l1_loss += l1_cost(box, objects[index], target.size)
                giou_loss += 1 - giou(box, objects[index])
        results.append((class_loss / num_boxes, l1_loss / num_boxes, giou_loss / num_boxes))
    return results


def total(of_stages: list[tuple[float, float, float]]) -> float:
    return sum(CLASS_WEIGHT * class_ + L1_WEIGHT * l1 + GIOU_WEIGHT * giou_ for class_, l1, giou_ in of_stages)
