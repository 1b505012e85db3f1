"""Which prediction is compared with which object: one Hungarian problem a stage and picture (Sec. 3.4)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from uncrowd.boxes import at_least_fp32, pairwise_giou
from uncrowd.errors import NonFiniteError, require_at_least
from uncrowd.structures import StageOutput, Target


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How the terms are weighed, in the matching cost and in the loss alike (Sec. 4)."""

    # Of the focal loss of the classes.
    class_: float = 2.0
    # Of the L1 distance of boxes, as shares of the picture.
    l1: float = 5.0
    # Of 1 - GIoU.
    giou: float = 2.0
    # Share of the positive term in the focal loss.
    focal_alpha: float = 0.25
    # How much the focal loss cares less for what is already right.
    focal_gamma: float = 2.0

    def __post_init__(self) -> None:
        """Raises InputError for a negative weight."""
        require_at_least(0, class_=self.class_, l1=self.l1, giou=self.giou)
        require_at_least(0, focal_alpha=self.focal_alpha, focal_gamma=self.focal_gamma)


class PaddedTargets(NamedTuple):
    """The objects of a batch in one tensor; picture i has counts[i] of the t places. Scale is (w, h, w, h)."""

    boxes: Float[Tensor, "b t 4"]
    labels: Int64[Tensor, "b t"]
    scale: Float[Tensor, "b 1 4"]
    counts: list[int]


class Matching(NamedTuple):
    """Matched pairs, the same number m in each of s stages: picture, prediction in it, object in it."""

    picture: Int64[Tensor, "s m"]
    prediction: Int64[Tensor, "s m"]
    target: Int64[Tensor, "s m"]


def pad_targets(targets: list[Target], like: Tensor) -> PaddedTargets:
    """Returns the targets on the device and in the dtype (at least fp32) of `like`."""
    dtype = at_least_fp32(like).dtype
    heights_widths = torch.tensor([target.size for target in targets], dtype=dtype)
    return PaddedTargets(
        boxes=pad_sequence([target.boxes.to(like.device, dtype) for target in targets], batch_first=True),
        labels=pad_sequence([target.labels.to(like.device) for target in targets], batch_first=True),
        scale=heights_widths.flip(-1).repeat(1, 2)[:, None].to(like.device),
        counts=[len(target.labels) for target in targets],
    )


def matching_cost(
    logits: Float[Tensor, "s b n c"], boxes: Float[Tensor, "s b n 4"], targets: PaddedTargets, weights: LossWeights
) -> Float[Tensor, "s b n t"]:
    """Returns what pairing each prediction with each object costs, all stages and pictures at once.

    L1 of boxes over the size of the unpadded picture, focal class cost (its positive minus its negative term), and
    minus GIoU in pixels.
    """
    probability = at_least_fp32(logits).sigmoid()
    alpha, gamma = weights.focal_alpha, weights.focal_gamma
    positive = alpha * (1 - probability) ** gamma * -(probability + 1e-8).log()
    negative = (1 - alpha) * probability**gamma * -(1 - probability + 1e-8).log()
    labels = targets.labels[None, :, None, :].expand(*logits.shape[:3], -1)
    class_cost = (positive - negative).gather(-1, labels)
    l1_cost = torch.cdist(boxes / targets.scale, (targets.boxes / targets.scale).expand(len(boxes), -1, -1, -1), p=1)
    giou_cost = -pairwise_giou(boxes, targets.boxes)
    return weights.class_ * class_cost + weights.l1 * l1_cost + weights.giou * giou_cost


@torch.no_grad()
def match(
    outputs: list[StageOutput], targets: PaddedTargets, weights: LossWeights, watch: Float[Tensor, " w"] | None = None
) -> tuple[Matching, list[float]]:
    """Returns the cheapest one-to-one assignment of every stage and picture, and the values of `watch`.

    Each picture yields min(n, its objects) pairs, ordered by prediction. The costs go to the host in one copy; `watch`
    (a few scalars of the step before, to be looked at on the host) travels in it, so that it costs no wait of its own.
    Raises NonFiniteError when a cost is NaN or infinite: a prediction is.
    """
    logits = torch.stack([output.logits for output in outputs])
    boxes = at_least_fp32(torch.stack([output.boxes for output in outputs]))
    cost = matching_cost(logits, boxes, targets, weights)
    # A finite box can still be so far away that its cost is not.
    finite = torch.isfinite(logits).all() & torch.isfinite(boxes).all() & torch.isfinite(cost).all()
    extra = [finite[None].to(cost.dtype)] + ([watch.to(cost.dtype)] if watch is not None else [])
    flat = torch.cat([cost.flatten(), *extra]).cpu()
    host_cost = flat[: cost.numel()].view(cost.shape).numpy()
    finite_on_host, *watched = flat[cost.numel() :].tolist()
    if not finite_on_host:
        raise NonFiniteError("the model predicts logits or boxes that are not finite", watched)
    pairs = np.stack([_assign(stage, targets.counts) for stage in host_cost])  # (s, 3, m)
    picture, prediction, target = torch.from_numpy(pairs).to(cost.device, non_blocking=True).unbind(1)
    return Matching(picture, prediction, target), watched


def _assign(cost: Float[np.ndarray, "b n t"], counts: list[int]) -> Int64[np.ndarray, "3 m"]:
    columns = [np.zeros((3, 0), np.int64)]
    for picture, count in enumerate(counts):
        prediction, target = linear_sum_assignment(cost[picture, :, :count])
        columns.append(np.stack([np.full_like(prediction, picture), prediction, target]))
    return np.concatenate(columns, axis=1)
