"""Which prediction is compared with which object: one Hungarian problem for each stage and image (Sec. 3.4)."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from uncrowd.boxes import at_least_fp32, pairwise_giou, pairwise_own_share, xyxy_to_cxcywh
from uncrowd.devices import send
from uncrowd.errors import InputError, NonFiniteError, require_at_least
from uncrowd.losses.classification import AnyClassConfig, FocalConfig, class_cost
from uncrowd.structures import StageOutput, Target


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is compared and how the terms are weighted, in both the matching cost and the loss (Sec. 3.4, 4)."""

    # Comparison of classes.
    classes: AnyClassConfig = field(default_factory=FocalConfig)
    # Weight of the class term.
    class_weight: float = 2.0
    # Weight of the L1 distance of boxes, in shares of the image.
    l1_weight: float = 5.0
    # Numbers of a box that L1 compares: corners (Sparse R-CNN) or centre and size (DETR).
    l1_of: Literal["corners", "centre_size"] = "corners"
    # Weight of 1 - GIoU.
    giou_weight: float = 2.0
    # An unmatched prediction is left out of the class loss if at least this share of its area lies on an ignored box;
    # Iter-E2EDET uses 0.7. None leaves no prediction out, as in the authors' release.
    ignore_above: float | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a negative weight, and for an `ignore_above` that is not a share."""
        require_at_least(0, class_weight=self.class_weight, l1_weight=self.l1_weight, giou_weight=self.giou_weight)
        if self.ignore_above is not None and not 0 < self.ignore_above <= 1:
            raise InputError(f"ignore_above is {self.ignore_above:g}; give a share above 0 and up to 1, such as 0.7.")


class PaddedTargets(NamedTuple):
    """The objects of a batch, padded to t for each image; image i has counts[i] of them.

    scale: (w, h, w, h) of each unpadded image. `ignored` is padded with boxes without area.
    """

    boxes: Float[Tensor, "b t 4"]
    labels: Int64[Tensor, "b t"]
    ignored: Float[Tensor, "b g 4"]
    scale: Float[Tensor, "b 1 4"]
    counts: list[int]


class Matching(NamedTuple):
    """Matched pairs, the same number m in each of s stages: the image, and the prediction and the object in it."""

    image: Int64[Tensor, "s m"]
    prediction: Int64[Tensor, "s m"]
    target: Int64[Tensor, "s m"]


def pad_targets(targets: list[Target], like: Tensor) -> PaddedTargets:
    """Returns the targets on the device and in the dtype (at least fp32) of `like`."""
    dtype = at_least_fp32(like).dtype
    heights_widths = torch.tensor([target.size for target in targets], dtype=dtype)
    return PaddedTargets(
        boxes=pad_sequence([target.boxes.to(like.device, dtype) for target in targets], batch_first=True),
        labels=pad_sequence([target.labels.to(like.device) for target in targets], batch_first=True),
        ignored=pad_sequence([target.ignored.to(like.device, dtype) for target in targets], batch_first=True),
        scale=send(heights_widths.flip(-1).repeat(1, 2)[:, None], like.device),
        counts=[len(target.labels) for target in targets],
    )


def l1_form(boxes: Float[Tensor, "*n 4"], scale: Float[Tensor, "*#n 4"], config: LossConfig) -> Float[Tensor, "*n 4"]:
    """Returns the four numbers of each box that L1 compares, in shares of the unpadded image's sides."""
    shares = boxes / scale
    return shares if config.l1_of == "corners" else xyxy_to_cxcywh(shares)


def matching_cost(
    logits: Float[Tensor, "s b n c"], boxes: Float[Tensor, "s b n 4"], targets: PaddedTargets, config: LossConfig
) -> Float[Tensor, "s b n t"]:
    """Returns the cost of pairing each prediction with each object, for all stages and images at once.

    It is the weighted sum of the class cost, the L1 distance of boxes in shares of the unpadded image, and minus GIoU.
    GIoU is taken in pixels; in shares of the image it is the same.
    """
    objects = l1_form(targets.boxes, targets.scale, config).expand(len(boxes), -1, -1, -1)
    l1_cost = torch.cdist(l1_form(boxes, targets.scale, config), objects, p=1)
    giou_cost = -pairwise_giou(boxes, targets.boxes)
    of_classes = class_cost(config.classes, logits, targets.labels)
    return config.class_weight * of_classes + config.l1_weight * l1_cost + config.giou_weight * giou_cost


@torch.no_grad()
def on_ignored(boxes: Float[Tensor, "s b n 4"], targets: PaddedTargets, config: LossConfig) -> Bool[Tensor, "s b n"]:
    """Returns which predictions `ignore_above` leaves out of the class loss if they are not matched."""
    if config.ignore_above is None or targets.ignored.shape[1] == 0:
        return torch.zeros(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    return pairwise_own_share(boxes, targets.ignored).amax(dim=-1) >= config.ignore_above


def stack_stages(outputs: list[StageOutput]) -> tuple[Float[Tensor, "s b n c"], Float[Tensor, "s b n 4"]]:
    """Returns the logits and the boxes of all stages, in at least fp32."""
    logits = torch.stack([output.logits for output in outputs])
    boxes = torch.stack([output.boxes for output in outputs])
    return at_least_fp32(logits), at_least_fp32(boxes)


@torch.no_grad()
def match(
    logits: Float[Tensor, "s b n c"], boxes: Float[Tensor, "s b n 4"], targets: PaddedTargets, config: LossConfig
) -> Matching:
    """Returns the cheapest one-to-one assignment of predictions and objects for every stage and image.

    Each image yields min(n, its objects) pairs, ordered by prediction. The costs go to the host in one copy, the only
    time that the loss of the stages waits for the device. Raises NonFiniteError if a prediction or its cost is NaN or
    infinite.
    """
    cost = matching_cost(logits, boxes, targets, config)
    # A finite box can be so far away that its cost is infinite.
    problems = on_host(cost, finite=(logits, boxes, cost), of="the model")
    pairs = np.stack(list(solvers().map(partial(_assign, counts=targets.counts), problems)))  # (s, 3, m)
    return Matching(*send(torch.from_numpy(pairs), cost.device).unbind(1))


def on_host(values: Float[Tensor, "*n"], *, finite: tuple[Tensor, ...], of: str) -> Float[np.ndarray, "*n"]:
    """Returns values as an array; one copy brings them and whether all of `finite` is finite.

    Raises NonFiniteError, which names `of` as what predicted the rest, if not.
    """
    all_finite = torch.stack([torch.isfinite(each).all() for each in finite]).all()
    copied = torch.cat([values.flatten(), all_finite[None].to(values.dtype)]).cpu()
    if copied[-1:].tolist() != [1]:
        raise NonFiniteError(f"{of} predicts logits or boxes that are not finite")
    return copied[:-1].view(values.shape).numpy()


@cache
def solvers() -> ThreadPoolExecutor:
    """Returns threads that solve problems in parallel, which works because scipy releases the interpreter lock."""
    return ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8), thread_name_prefix="assignment")


def _assign(cost: Float[np.ndarray, "b n t"], counts: list[int]) -> Int64[np.ndarray, "3 m"]:
    columns = [np.zeros((3, 0), np.int64)]
    for image, count in enumerate(counts):
        prediction, target = linear_sum_assignment(cost[image, :, :count])
        columns.append(np.stack([np.full_like(prediction, image), prediction, target]))
    return np.concatenate(columns, axis=1)
