"""Test-time augmentation (Table 7): detects in an image at many sizes and flipped, and merges the boxes by a vote.

The paper follows ATSS (arXiv:1912.02424) in sizes and voting. The authors' release allows long sides of up to 4000 and
votes at IoU 0.65: `RELEASED_TTA`. Here every view is resized from the original image. The release resizes an image that
it has already resized to 800 pixels, which only blurs it.
For an image of 640 x 480, the 26 views together have 43 times the pixels of the single view at 800.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, get_type_hints

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from uncrowd.argument_types import require_types
from uncrowd.boxes import area, flip_horizontally, pairwise_iou, rescale
from uncrowd.data.transforms import ResizeConfig, resize
from uncrowd.errors import InputError, require_at_least
from uncrowd.structures import Decoded


@dataclass(frozen=True, kw_only=True)
class View:
    """One size of the image, and the range of object sizes that are kept from it."""

    # Short side in pixels; it is less where the long side would exceed max_size.
    short_side: int
    # Limit of the long side in pixels.
    max_size: int
    # Boxes are kept if their area exceeds that of a square of this side, in pixels of the view.
    min_side: int = 0
    # Boxes are kept if their area is below that of a square of this side, in pixels of the view.
    max_side: int = 10_000
    # Detect in the horizontally flipped image as well.
    flip: bool = True

    def __post_init__(self) -> None:
        """Raises InputError for sizes that no image or box can have."""
        require_at_least(1, short_side=self.short_side, max_size=self.max_size)
        require_at_least(0, min_side=self.min_side)
        require_at_least(self.min_side + 1, max_side=self.max_side)


# Small views detect large objects, and large views small ones.
ATSS_VIEWS = (
    View(short_side=400, max_size=1333, min_side=96),
    View(short_side=500, max_size=1333, min_side=96),
    View(short_side=600, max_size=1333, min_side=64),
    View(short_side=640, max_size=1333, min_side=64),
    View(short_side=700, max_size=1333, min_side=64),
    View(short_side=900, max_size=3000),
    View(short_side=1000, max_size=3000),
    View(short_side=1100, max_size=3000, max_side=256),
    View(short_side=1200, max_size=3000, max_side=256),
    View(short_side=1300, max_size=3000, max_side=192),
    View(short_side=1400, max_size=3000, max_side=192),
    View(short_side=1800, max_size=3000, max_side=96),
    View(short_side=800, max_size=1333),
)


@dataclass(frozen=True, kw_only=True)
class TTAConfig:
    """The views of an image and how their detections are merged; the defaults are those of Table 7."""

    # Sizes of the image; a size and its flip form one batch.
    views: tuple[View, ...] = ATSS_VIEWS
    # Least IoU with the best box of a group at which a box of the same class joins the group.
    iou: float = 0.66
    # Least score at which a box is kept beside the mean box of its group.
    least_score: float = 0.05

    def __post_init__(self) -> None:
        """Raises InputError for other types, for no views, and for an IoU or a score that is out of range."""
        require_types(get_type_hints(type(self)), vars(self))
        if not self.views:
            raise InputError("views is empty; give at least one.")
        if not 0 < self.iou <= 1:
            raise InputError(f"iou is {self.iou:g}; give a number above 0, up to 1.")
        require_at_least(0, least_score=self.least_score)


# The authors' release differs from Table 7 in these values.
RELEASED_TTA = TTAConfig(views=tuple(replace(view, max_size=4000) for view in ATSS_VIEWS), iou=0.65)


class Ranked(NamedTuple):
    """Detections of one image, best first; boxes in image pixels, not clipped."""

    boxes: Float[Tensor, "k 4"]
    scores: Float[Tensor, " k"]
    labels: Int64[Tensor, " k"]


# Takes (b, 3, h, w) images and their (b, 2) sizes in network pixels; returns the detections of each on the CPU.
Decode = Callable[[Tensor, Tensor], Decoded]


def detect_in_views(pixels: UInt8[np.ndarray, "h w 3"], config: TTAConfig, decode: Decode) -> Ranked:
    """Returns the N best detections after the vote, where N is the number that `decode` returns for one view.

    A view and its flip have the same size and form one batch; only one batch is in memory at a time.
    """
    found, most = [], 0
    for view in config.views:
        in_view, proposals = _detect_in_view(pixels, view, decode)
        found.append(in_view)
        most = max(most, proposals)
    return vote(*_join(found), iou=config.iou, least_score=config.least_score, most=most)


def vote(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    labels: Int64[Tensor, " n"],
    *,
    iou: int | float = 0.66,
    least_score: int | float = 0.05,
    most: int | None = None,
) -> Ranked:
    """Returns the `most` best boxes (None: all) after ATSS's soft voting, done for each class on its own.

    The best box and all boxes with an IoU of at least `iou` with it form a group. The best of the remaining boxes forms
    the next group, and so on. A group becomes its mean box, weighted by scores, with the highest score of the group;
    and each member i whose new score s_i * (1 - IoU_i with the best) is at least `least_score`. A group of one box is
    not changed.
    """
    left = _rank(Ranked(boxes, scores, labels))
    voted = [_take(left, slice(0))]
    groups = 0
    # No box after the first `most` groups has a higher score than their mean boxes.
    while len(left.scores) and groups != most:
        overlap = pairwise_iou(left.boxes[:1], left.boxes)[0]
        overlap[0] = 1.0  # also for a box without area
        in_group = (overlap >= iou) & (left.labels == left.labels[0])
        voted.append(_merge(_take(left, in_group), overlap[in_group], least_score))
        left = _take(left, ~in_group)
        groups += 1
    return _take(_rank(_join(voted)), slice(most))


def _rank(found: Ranked) -> Ranked:
    return _take(found, found.scores.argsort(descending=True, stable=True))


def _take(found: Ranked, which: Tensor | slice) -> Ranked:
    return Ranked(*(values[which] for values in found))


def _join(parts: list[Ranked]) -> Ranked:
    return Ranked(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _merge(group: Ranked, overlap: Float[Tensor, " n"], least_score: int | float) -> Ranked:
    boxes, scores, labels = group
    if len(scores) == 1 or scores[0] == 0:  # scores of 0 cannot weight a mean
        return _take(group, slice(1))
    mean = (boxes * scores[:, None]).sum(dim=0, keepdim=True) / scores.sum()
    soft_scores = scores * (1 - overlap)
    kept = soft_scores >= least_score
    return Ranked(
        torch.cat([mean, boxes[kept]]),
        torch.cat([scores[:1], soft_scores[kept]]),
        torch.cat([labels[:1], labels[kept]]),
    )


def _detect_in_view(pixels: UInt8[np.ndarray, "h w 3"], view: View, decode: Decode) -> tuple[Ranked, int]:
    """Returns the detections of the sizes that the view asks for, not ranked, and how many `decode` found in all."""
    image = resize(pixels, ResizeConfig(short_side=view.short_side, max_size=view.max_size))
    images = torch.stack([image, image.flip(-1)] if view.flip else [image])
    height, width = image.shape[-2:]
    decoded = decode(images, torch.tensor([[height, width]]).expand(len(images), 2))
    boxes = torch.cat([decoded.boxes[0], *(flip_horizontally(flipped, width) for flipped in decoded.boxes[1:])])
    areas = area(boxes)
    kept = (areas > view.min_side**2) & (areas < view.max_side**2)
    in_image = rescale(boxes[kept], (height, width), pixels.shape[:2])
    found = Ranked(in_image, decoded.scores.flatten()[kept], decoded.labels.flatten()[kept])
    return found, decoded.scores.shape[1]
