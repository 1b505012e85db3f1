"""How classes are compared with objects: Sparse R-CNN's focal loss on sigmoids, or DETR's cross entropy with no object.

Shapes: s stages, b images, n predictions, t objects, c logits of a prediction.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import sigmoid_focal_loss

from uncrowd.boxes import at_least_fp32
from uncrowd.errors import require_at_least


@dataclass(frozen=True, kw_only=True)
class FocalConfig:
    """Every class is a yes or no of its own (arXiv:1708.02002)."""

    # Share of the positive term.
    alpha: float = 0.25
    # How much less is cared for what is already right.
    gamma: float = 2.0

    def __post_init__(self) -> None:
        """Raises InputError for a negative value."""
        require_at_least(0, alpha=self.alpha, gamma=self.gamma)


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig:
    """One of the classes or, the last logit, no object (DETR, arXiv:2005.12872)."""

    # Weight of predictions that are to be no object, of which there are many more.
    no_object: float = 0.1

    def __post_init__(self) -> None:
        """Raises InputError for a negative weight."""
        require_at_least(0, no_object=self.no_object)


AnyClassConfig = FocalConfig | CrossEntropyConfig


def class_cost(
    config: AnyClassConfig, logits: Float[Tensor, "s b n c"], labels: Int64[Tensor, "b t"]
) -> Float[Tensor, "s b n t"]:
    """Returns what the class of each prediction costs when it is paired with each object.

    Focal: the positive minus the negative term of the loss. Cross entropy: minus the probability, as DETR has it.
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
    counts: Bool[Tensor, "s b n"],
    num_boxes: int | float | Float[Tensor, ""],
    num_images: int,
) -> Float[Tensor, " s"]:
    """Returns the class loss of each stage, of a part of a step.

    wanted: the label of the object a prediction is matched with, -1 for none. counts: False where a prediction is left
    out. num_boxes, num_images: objects and images of the whole step, a rank. Focal sums are divided by the objects;
    cross entropy by the weights of all the step's predictions, of which as many are matched as there are objects.
    """
    nothing = wanted < 0
    match config:
        case FocalConfig(alpha=alpha, gamma=gamma):
            one_hot = F.one_hot(wanted.clamp(min=0), logits.shape[-1]).to(logits.dtype) * ~nothing[..., None]
            losses = sigmoid_focal_loss(logits, one_hot, alpha=alpha, gamma=gamma).sum(dim=-1)
            return losses.where(counts, 0).sum(dim=(1, 2)) / num_boxes
        case CrossEntropyConfig(no_object=no_object):
            labels = wanted.where(~nothing, logits.shape[-1] - 1)
            losses = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view_as(labels)
            weights = torch.where(nothing, no_object, 1.0).to(logits.dtype) * counts
            predictions = num_images * logits.shape[2]
            matched = torch.as_tensor(num_boxes, dtype=logits.dtype).clamp(max=predictions)
            return (weights * losses).sum(dim=(1, 2)) / (no_object * (predictions - matched) + matched)
