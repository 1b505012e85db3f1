"""The loss of a dense head, which predicts at all points of an image (DDQ, arXiv:2303.12776).

Two branches learn on shared features. The auxiliary one is taught several points an object, so that a step teaches
much; the main one, which selects the queries, is taught one point an object, so that neighbours are told apart. In both
the points of an object are found by a Hungarian problem in which each object occurs several times or once: taking the
best points object by object would starve the hidden one of a pair.

A positive's target is its quality instead of 1, so that scores say how well a box fits. Unlike DDQ, which matches the
main branch with those points alone that NMS keeps, it is matched with all, and near-duplicates of matched points are
left out of its class loss; and sums are divided by the number of objects, as in the stages, not by the sum of targets.

Shapes: b images, p points, t objects, c classes, m matched pairs of all images together.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from uncrowd.boxes import giou, iou, pairwise_iou
from uncrowd.devices import send
from uncrowd.errors import require_at_least
from uncrowd.losses.criterion import Losses
from uncrowd.losses.matcher import LossConfig, PaddedTargets, matching_cost, on_host, on_ignored, solvers, stack_stages
from uncrowd.structures import StageOutput

# The most points of each object, its cheapest, that take part in its matching. As many as an image has pairs are always
# enough, because one of them is free. With more pairs, an object whose points others have taken gets any point of their
# lists.
_SHORTLIST = 256


@dataclass(frozen=True, kw_only=True)
class DenseLossConfig:
    """How a dense head is taught. Class, box and GIoU costs of the matching are those of the stages."""

    # Points that the auxiliary branch is taught for an object; fewer where the image has too few for all objects.
    points: int = 8
    # The target of a point is score^score_power * IoU^iou_power, scaled so that the best of an object has its IoU.
    score_power: float = 1.0
    iou_power: float = 6.0
    # Exponent that lowers the class loss of scores that are already near their target (quality focal loss).
    beta: float = 2.0
    # Weight of the class term of each branch.
    class_weight: float = 1.0
    # Weight of the box term of each branch: 1 - GIoU times the target of the point.
    giou_weight: float = 2.0
    # The main branch is not taught that a point is wrong if its box has more than this IoU with a matched one: the
    # selection ranks it behind.
    duplicate_above: float = 0.7

    def __post_init__(self) -> None:
        """Raises InputError for a negative value and for no points."""
        require_at_least(1, points=self.points)
        require_at_least(0, score_power=self.score_power, iou_power=self.iou_power, beta=self.beta)
        require_at_least(0, class_weight=self.class_weight, giou_weight=self.giou_weight)
        require_at_least(0, duplicate_above=self.duplicate_above)


class Pairs(NamedTuple):
    """Matched pairs: the image, and the point and the object in it."""

    image: Int64[Tensor, " m"]
    point: Int64[Tensor, " m"]
    target: Int64[Tensor, " m"]


def dense_loss(
    auxiliary: StageOutput,
    main: StageOutput,
    targets: PaddedTargets,
    num_boxes: int | float | Float[Tensor, ""],
    config: DenseLossConfig,
    matching: LossConfig,
) -> Losses:
    """Returns the losses of the auxiliary and of the main branch, divided by the number of objects. The L1 term is 0.

    num_boxes: objects of the whole step divided by the number of ranks. matching: the weights of the matching cost.
    Raises NonFiniteError if a prediction or its cost is NaN or infinite.
    """
    logits, boxes = stack_stages([auxiliary, main])
    many, one = match_points(logits, boxes, targets, matching, repeats=(config.points, 1))
    ignored = on_ignored(boxes, targets, matching)
    for branch, pairs in zip(ignored, (many, one), strict=True):
        branch[pairs.image, pairs.point] = False
    counts = (~ignored[0], ~ignored[1] & ~_duplicates(boxes[1], one, targets, config.duplicate_above))
    terms = [_branch_loss(*branch, targets, config) for branch in zip(logits, boxes, (many, one), counts, strict=True)]
    of_classes, of_boxes = (torch.stack(term) / num_boxes for term in zip(*terms, strict=True))
    total = (config.class_weight * of_classes + config.giou_weight * of_boxes).sum()
    return Losses(total, of_classes.detach(), torch.zeros_like(of_classes), of_boxes.detach())


def _branch_loss(
    logits: Float[Tensor, "b p c"],
    boxes: Float[Tensor, "b p 4"],
    pairs: Pairs,
    counts: Bool[Tensor, "b p"],
    targets: PaddedTargets,
    config: DenseLossConfig,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Returns the sums of the class loss and of 1 - GIoU, the latter weighted by quality."""
    matched, objects = boxes[pairs.image, pairs.point], targets.boxes[pairs.image, pairs.target]
    labels = targets.labels[pairs.image, pairs.target]
    scores = logits[pairs.image, pairs.point, labels].detach().sigmoid()
    wanted = quality(scores, iou(matched.detach(), objects), pairs, targets, config)
    goal = torch.zeros_like(logits)
    goal[pairs.image, pairs.point, labels] = wanted
    weight = (goal - logits.sigmoid()).abs() ** config.beta
    of_classes = weight * F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    return of_classes.sum(dim=-1).where(counts, 0).sum(), ((1 - giou(matched, objects)) * wanted).sum()


def quality(
    scores: Float[Tensor, " m"],
    ious: Float[Tensor, " m"],
    pairs: Pairs,
    targets: PaddedTargets,
    config: DenseLossConfig,
) -> Float[Tensor, " m"]:
    """Returns the target of each pair in 0 to 1: score^a IoU^b, scaled so that an object's largest is its largest IoU.

    scores: of the object's class. This is the alignment of TOOD (arXiv:2108.07755).
    """
    raw = scores**config.score_power * ious**config.iou_power

    def largest(values: Tensor) -> Tensor:
        of_object = values.new_zeros(targets.labels.numel())
        index = pairs.image * targets.labels.shape[1] + pairs.target
        return of_object.scatter_reduce(0, index, values, "amax")[index]

    return raw / largest(raw).clamp(min=torch.finfo(raw.dtype).tiny) * largest(ious)


def _duplicates(
    boxes: Float[Tensor, "b p 4"], pairs: Pairs, targets: PaddedTargets, above: float
) -> Bool[Tensor, "b p"]:
    """Returns which unmatched points have a box with an IoU above `above` with that of a matched point."""
    boxes = boxes.detach()
    matched = torch.zeros_like(targets.boxes)  # one point an object; boxes without area overlap nothing
    matched[pairs.image, pairs.target] = boxes[pairs.image, pairs.point]
    unmatched = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    unmatched[pairs.image, pairs.point] = False
    if matched.shape[1] == 0:
        return torch.zeros_like(unmatched)
    return unmatched & (pairwise_iou(boxes, matched).amax(dim=-1) > above)


@torch.no_grad()
def match_points(
    logits: Float[Tensor, "s b p c"],
    boxes: Float[Tensor, "s b p 4"],
    targets: PaddedTargets,
    config: LossConfig,
    repeats: tuple[int, ...],
) -> list[Pairs]:
    """Returns, for each of s branches, the cheapest assignment in which each object gets `repeats` points of its list.

    Where the short lists of an image hold too few points for that, its objects get equally many; with fewer points than
    objects, some get 1 and the others none. Raises NonFiniteError if a prediction or its cost is NaN or
    infinite. The costs go to the host in one copy.
    """
    cost = matching_cost(logits, boxes, targets, config)
    most = max(targets.counts) * max(repeats)
    cheapest = cost.topk(min(_SHORTLIST, cost.shape[2], most), dim=2, largest=False)
    # Indices are below 2^24 and so exact as floats.
    packed = torch.stack([cheapest.values, cheapest.indices.to(cost.dtype)])
    values, indices = on_host(packed, finite=(logits, boxes, cost), of="the dense head")
    indices = indices.astype(np.int64)

    def of_image(branch: int, image: int) -> Int64[np.ndarray, "3 m"]:
        count, repeat = targets.counts[image], repeats[branch]
        cheap = np.s_[branch, image, : count * repeat, :count]
        point, target = _assign(values[cheap], indices[cheap], repeat)
        return np.stack([np.full_like(point, image), point, target])

    found = []
    for branch in range(len(repeats)):
        columns = list(solvers().map(partial(of_image, branch), range(len(targets.counts))))
        found.append(Pairs(*send(torch.from_numpy(np.concatenate(columns, axis=1)), cost.device)))
    return found


def _assign(
    values: Float[np.ndarray, "k t"], indices: Int64[np.ndarray, "k t"], repeats: int
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Returns points and objects of the cheapest pairs. values, indices: of the k cheapest points of each object."""
    objects = values.shape[1]
    if objects == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    listed, row = np.unique(indices, return_inverse=True)
    repeats = max(min(repeats, len(listed) // objects), 1)
    # A point that is not on an object's list costs more than any sum of listed ones.
    far = values.max() + (values.max() - values.min() + 1) * objects * repeats
    cost = np.full((len(listed), objects), far)
    np.put_along_axis(cost, row.reshape(indices.shape), values, axis=0)
    point, column = linear_sum_assignment(np.repeat(cost, repeats, axis=1))
    return listed[point], column // repeats
