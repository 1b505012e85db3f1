"""The training objective, operation for operation as Sparse R-CNN's public code computes it, on whole tensors.

For each stage, the costs of all predictions and all objects of the batch go to the host, where the images are matched
one after another; the losses follow. Shapes: b images, n predictions, c classes, t objects of all images, m matched
pairs.
"""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import generalized_box_iou

from tests.plain.matching_cost import ALPHA, CLASS_WEIGHT, GAMMA, GIOU_WEIGHT, L1_WEIGHT
from uncrowd.structures import StageOutput, Target


class Objects(NamedTuple):
    """The objects of all images in a row: boxes (t, 4), labels (t,), and scale (t, 4), each image's (w, h, w, h)."""

    boxes: Tensor
    labels: Tensor
    scale: Tensor


class Pairs(NamedTuple):
    """Matched pairs on the host, (m,) each; `object` counts through the objects of all images."""

    image: Tensor
    prediction: Tensor
    object: Tensor


def total_loss(outputs: list[StageOutput], targets: list[Target], num_boxes: float | Tensor) -> Tensor:
    like = outputs[0].boxes
    scale = like.new_tensor([[w, h, w, h] for h, w in (target.size for target in targets)])
    counts = [len(target.labels) for target in targets]
    objects = Objects(
        boxes=torch.cat([target.boxes.to(like) for target in targets]),
        labels=torch.cat([target.labels.to(like.device) for target in targets]),
        scale=torch.cat([of_image.repeat(count, 1) for of_image, count in zip(scale, counts, strict=True)]),
    )
    losses = []
    for output in outputs:
        pairs = match(output, objects, scale, counts)
        class_, l1, giou = stage_losses(output, objects, pairs)
        losses.append((CLASS_WEIGHT * class_ + L1_WEIGHT * l1 + GIOU_WEIGHT * giou) / num_boxes)
    return torch.stack(losses).sum()


@torch.no_grad()
def match(output: StageOutput, objects: Objects, scale: Tensor, counts: list[int]) -> Pairs:
    """scale: (b, 4). counts: the number of objects of each image."""
    cost = matching_cost(output, objects, scale).cpu()
    pairs, before = [], 0
    for image, (of_image, count) in enumerate(zip(cost, counts, strict=True)):
        chosen = linear_sum_assignment(of_image[:, before : before + count])
        prediction, of_those = (torch.as_tensor(indices, dtype=torch.int64) for indices in chosen)
        pairs.append(Pairs(torch.full_like(prediction, image), prediction, before + of_those))
        before += count
    return Pairs(*(torch.cat(part) for part in zip(*pairs, strict=True)))


def matching_cost(output: StageOutput, objects: Objects, scale: Tensor) -> Tensor:
    """Returns (b, n, t), including the costs of the objects of other images, which are not used."""
    b, n, _ = output.boxes.shape
    p = output.logits.flatten(0, 1).sigmoid()
    boxes, scale = output.boxes.flatten(0, 1), scale[:, None].repeat(1, n, 1).flatten(0, 1)
    positive = ALPHA * (1 - p) ** GAMMA * -(p + 1e-8).log()
    negative = (1 - ALPHA) * p**GAMMA * -(1 - p + 1e-8).log()
    class_cost = positive[:, objects.labels] - negative[:, objects.labels]
    l1_cost = torch.cdist(boxes / scale, objects.boxes / objects.scale, p=1)
    giou_cost = -generalized_box_iou(boxes, objects.boxes)
    return (CLASS_WEIGHT * class_cost + L1_WEIGHT * l1_cost + GIOU_WEIGHT * giou_cost).view(b, n, -1)


def stage_losses(output: StageOutput, objects: Objects, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the class, L1 and GIoU loss of a stage, each summed over its terms."""
    logits = output.logits
    classes = logits.shape[-1]
    wanted = torch.full(logits.shape[:2], classes, device=logits.device)  # one class more, for no object
    wanted[pairs.image, pairs.prediction] = objects.labels[pairs.object]
    one_hot = F.one_hot(wanted, classes + 1)[..., :classes].to(logits.dtype)

    matched = output.boxes[pairs.image, pairs.prediction]
    there, scale = objects.boxes[pairs.object], objects.scale[pairs.object]
    l1 = F.l1_loss(matched / scale, there / scale, reduction="sum")
    giou = (1 - torch.diag(generalized_box_iou(matched, there))).sum()
    return focal_loss(logits, one_hot), l1, giou


def focal_loss(logits: Tensor, one_hot: Tensor) -> Tensor:
    p = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none")
    wrong = p * (1 - one_hot) + (1 - p) * one_hot
    alpha = ALPHA * one_hot + (1 - ALPHA) * (1 - one_hot)
    return (alpha * wrong**GAMMA * cross_entropy).sum()
