"""The training objective (Sec. 3.4): class, L1 and GIoU loss of every stage, each stage matched on its own."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncrowd.boxes import giou, iou
from uncrowd.losses.classification import class_loss
from uncrowd.losses.matcher import LossConfig, l1_form, match, on_ignored, pad_targets, stack_stages
from uncrowd.structures import StageOutput, Target


class Losses(NamedTuple):
    """total: what training minimises. The others: the unweighted terms of each stage, after those of a dense head."""

    total: Float[Tensor, ""]
    class_: Float[Tensor, " s"]
    l1: Float[Tensor, " s"]
    giou: Float[Tensor, " s"]


class SetCriterion(nn.Module):
    """Set prediction loss, in at least fp32 also under mixed precision. It does not communicate with other ranks."""

    def __init__(self, config: LossConfig):
        super().__init__()
        self.config = config

    def forward(
        self,
        outputs: list[StageOutput],
        targets: list[Target],
        num_boxes: int | float | Float[Tensor, ""],
        num_images: int | None = None,
    ) -> Losses:
        """Returns the losses of a (micro-)batch.

        outputs: of each stage; an image may have several sets of predictions, one after another. Each set is matched
        with all objects of its image, and the losses are the mean over the sets. num_boxes: objects of the whole step
        divided by the number of ranks, at least 1, the same for all stages. num_images: images of the whole step on
        this rank; None if the targets are those of the whole step.
        """
        config = self.config
        logits, boxes = stack_stages(outputs)
        sets = boxes.shape[1] // len(targets)
        num_boxes, num_images = num_boxes * sets, (num_images or len(targets)) * sets
        padded = pad_targets([target for target in targets for _ in range(sets)], like=boxes)
        image, prediction, target = match(logits, boxes, padded, config)

        stage = torch.arange(len(outputs), device=logits.device)[:, None].expand_as(image)
        wanted = torch.full(logits.shape[:3], -1, device=logits.device)
        wanted[stage, image, prediction] = padded.labels[image, target]
        matched, objects = boxes[stage, image, prediction], padded.boxes[image, target]  # (s, m, 4)
        overlap = None
        if config.classes.needs_overlap:
            overlap = torch.zeros_like(boxes[..., 0])
            overlap[stage, image, prediction] = iou(matched.detach(), objects)
        counts = ~on_ignored(boxes, padded, config) | (wanted >= 0)
        of_classes = class_loss(config.classes, logits, wanted, overlap, counts, num_boxes, num_images)

        scale = padded.scale[image, 0]
        distance = l1_form(matched, scale, config) - l1_form(objects, scale, config)
        l1_loss = distance.abs().sum(dim=(1, 2)) / num_boxes
        giou_loss = (1 - giou(matched, objects)).sum(dim=1) / num_boxes

        total = config.class_weight * of_classes + config.l1_weight * l1_loss + config.giou_weight * giou_loss
        return Losses(total.sum(), of_classes.detach(), l1_loss.detach(), giou_loss.detach())
