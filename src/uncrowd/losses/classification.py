"""How class logits are compared with objects: Sparse R-CNN's focal loss on sigmoids, or DETR's cross entropy.

Shapes: s stages, b images, n predictions, t objects, c logits of a prediction.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import sigmoid_focal_loss

from uncrowd.boxes import at_least_fp32
from uncrowd.errors import require_at_least, require_at_most

LEAST_QUALITY = 0.01  # so that a match whose box is still far off is not pushed down like a prediction without a match


@dataclass(frozen=True, kw_only=True)
class FocalConfig:
    """Focal loss (arXiv:1708.02002): each class is a separate yes or no."""

    # Weight of the positive term; the negative term has 1 - alpha. If the target is quality, only the matching uses it.
    alpha: float = 0.25
    # Exponent that lowers the loss of predictions that are already right.
    gamma: float = 2.0
    # Target of a matched prediction: one, as in the paper, or quality, which is score^score_power * IoU^iou_power; then
    # scores learn to tell how tight a box is (Align-DETR).
    target: Literal["one", "quality"] = "one"
    # Exponent of the score in the quality.
    score_power: float = 0.25
    # Exponent of the IoU with the matched object in the quality.
    iou_power: float = 0.75

    def __post_init__(self) -> None:
        """Raises InputError for a negative value, and for an alpha above 1, which would reward wrong detections."""
        require_at_least(0, alpha=self.alpha, gamma=self.gamma)
        require_at_most(1, alpha=self.alpha)
        require_at_least(0, score_power=self.score_power, iou_power=self.iou_power)

    @property
    def needs_overlap(self) -> bool:
        """Whether the loss depends on how well the boxes of matched predictions fit."""
        return self.target == "quality"


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig:
    """Cross entropy over the classes and, as the last logit, no object (DETR, arXiv:2005.12872)."""

    needs_overlap: ClassVar[bool] = False

    # Weight of the predictions that match no object, which outnumber the others.
    no_object: float = 0.1

    def __post_init__(self) -> None:
        """Raises InputError for a negative weight."""
        require_at_least(0, no_object=self.no_object)


AnyClassConfig = FocalConfig | CrossEntropyConfig


def class_cost(
    config: AnyClassConfig, logits: Float[Tensor, "s b n c"], labels: Int64[Tensor, "b t"]
) -> Float[Tensor, "s b n t"]:
    """Returns the class cost of pairing each prediction with each object.

    Focal: the positive minus the negative term of the loss. Cross entropy: minus the probability, as in DETR.
    """
    logits = at_least_fp32(logits)
    match config:
        case FocalConfig(alpha=alpha, gamma=gamma):
            probability = logits.sigmoid()
            positive = alpha * (1 - probability) ** gamma * -(probability + 1e-8).log()
            negative = (1 - alpha) * probability**gamma * -(1 - probability + 1e-8).log()
            cost = positive - negative
        case CrossEntropyConfig():
            cost = -logits.softmax(dim=-1)
    return cost.gather(-1, labels[None, :, None, :].expand(*logits.shape[:3], -1))


def class_loss(
    config: AnyClassConfig,
    logits: Float[Tensor, "s b n c"],
    wanted: Int64[Tensor, "s b n"],
    overlap: Float[Tensor, "s b n"] | None,
    counts: Bool[Tensor, "s b n"],
    num_boxes: int | float | Float[Tensor, ""],
    num_images: int,
) -> Float[Tensor, " s"]:
    """Returns the class loss of each stage for a part of a training step.

    wanted: the label of the object that a prediction is matched with, -1 for none. overlap: the IoU with that object,
    without a gradient; None unless the configuration needs it. counts: False for predictions that are left out.
    num_boxes, num_images: objects and images per rank of the whole step. Focal loss is divided by the number of
    objects; cross entropy by the summed weights of all predictions of the step, with one match per object.
    """
    nothing = wanted < 0
    match config:
        case FocalConfig(alpha=alpha, gamma=gamma):
            one_hot = F.one_hot(wanted.clamp(min=0), logits.shape[-1]).to(logits.dtype) * ~nothing[..., None]
            if overlap is not None:
                losses = _quality_loss(config, logits, one_hot, overlap)
            else:
                losses = sigmoid_focal_loss(logits, one_hot, alpha=alpha, gamma=gamma)
            return losses.sum(dim=-1).where(counts, 0).sum(dim=(1, 2)) / num_boxes
        case CrossEntropyConfig(no_object=no_object):
            labels = wanted.where(~nothing, logits.shape[-1] - 1)
            losses = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view_as(labels)
            weights = torch.where(nothing, no_object, 1.0).to(logits.dtype) * counts
            predictions = num_images * logits.shape[2]
            matched = torch.as_tensor(num_boxes, dtype=logits.dtype).clamp(max=predictions)
            return (weights * losses).sum(dim=(1, 2)) / (no_object * (predictions - matched) + matched)


def _quality_loss(
    config: FocalConfig,
    logits: Float[Tensor, "s b n c"],
    one_hot: Float[Tensor, "s b n c"],
    overlap: Float[Tensor, "s b n"],
) -> Float[Tensor, "s b n c"]:
    """Returns IA-BCE of each logit (arXiv:2304.07527): binary cross entropy with the quality of a match as its target.

    A logit without a match has the target 0 and the weight score^gamma, as in focal loss. A match has the weight 1; its
    target is a constant without a gradient.
    """
    scores = logits.sigmoid()
    quality = scores.detach() ** config.score_power * overlap[..., None] ** config.iou_power
    weights = torch.where(one_hot > 0, 1, scores**config.gamma)
    target = one_hot * quality.clamp(min=LEAST_QUALITY)
    return weights * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
