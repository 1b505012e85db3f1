"""The training objective (Sec. 3.4): focal, L1 and GIoU loss of every stage, each stage matched on its own."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from uncrowd.boxes import at_least_fp32, giou
from uncrowd.losses.matcher import LossWeights, match, pad_targets
from uncrowd.structures import StageOutput, Target


class Losses(NamedTuple):
    """total: what is minimised. The others: each stage's unweighted terms. watched: see `matcher.match`."""

    total: Float[Tensor, ""]
    class_: Float[Tensor, " s"]
    l1: Float[Tensor, " s"]
    giou: Float[Tensor, " s"]
    watched: list[float]


class SetCriterion(nn.Module):
    """Set prediction loss, in at least fp32 also under mixed precision; it never communicates with other ranks."""

    def __init__(self, weights: LossWeights):
        super().__init__()
        self.weights = weights

    def forward(
        self,
        outputs: list[StageOutput],
        targets: list[Target],
        num_boxes: int | float | Float[Tensor, ""],
        watch: Float[Tensor, " w"] | None = None,
    ) -> Losses:
        """Returns the losses of a (micro-)batch, its sums divided by `num_boxes`.

        num_boxes: objects of the whole step over the number of ranks, at least 1, the same for all stages.
        watch: scalars to look at on the host without waiting for the device again.
        """
        logits = at_least_fp32(torch.stack([output.logits for output in outputs]))  # (s, b, n, c)
        boxes = at_least_fp32(torch.stack([output.boxes for output in outputs]))
        padded = pad_targets(targets, like=boxes)
        (picture, prediction, target), watched = match(outputs, padded, self.weights, watch)

        stage = torch.arange(len(outputs), device=logits.device)[:, None].expand_as(picture)
        wanted = torch.zeros_like(logits)
        wanted[stage, picture, prediction, padded.labels[picture, target]] = 1
        alpha, gamma = self.weights.focal_alpha, self.weights.focal_gamma
        class_loss = sigmoid_focal_loss(logits, wanted, alpha=alpha, gamma=gamma).sum(dim=(1, 2, 3)) / num_boxes

        matched, objects = boxes[stage, picture, prediction], padded.boxes[picture, target]  # (s, m, 4)
        scale = padded.scale[picture, 0]
        l1_loss = (matched / scale - objects / scale).abs().sum(dim=(1, 2)) / num_boxes
        giou_loss = (1 - giou(matched, objects)).sum(dim=1) / num_boxes

        weights = self.weights
        total = (weights.class_ * class_loss + weights.l1 * l1_loss + weights.giou * giou_loss).sum()
        return Losses(total, class_loss.detach(), l1_loss.detach(), giou_loss.detach(), watched)
