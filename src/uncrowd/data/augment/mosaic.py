"""Mosaic: four images in one of the same size, so that objects become smaller, more, and stand beside strangers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812, the name everybody knows it by

from uncrowd import boxes as box_ops
from uncrowd.data.augment.chance import happens
from uncrowd.data.augment.labelled import Labelled
from uncrowd.data.augment.shapes import moved
from uncrowd.errors import require_probability

# The corner that the four images share lies within these shares of each side.
NEAREST, FARTHEST = 0.3, 0.7
# An object of which less lies in its part becomes an ignored region: nobody could say what it is.
LEAST_LEFT = 0.25


@dataclass(frozen=True, kw_only=True)
class MosaicConfig:
    """Mosaic. In the last fifth of training its probability falls to 0."""

    # Probability that an image becomes one of four parts of a mosaic. 0 turns it off.
    probability: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError for an impossible probability."""
        require_probability(probability=self.probability)


def mosaic(
    config: MosaicConfig,
    given: Labelled,
    others: Iterator[Labelled],
    rng: np.random.Generator,
    strength: float = 1.0,
    *,
    clip: bool = True,
) -> Labelled:
    """Returns the image and three others as parts of one image of its size, or the image as it is, by chance.

    Each image is resized to cover its part, and a window of it is kept. strength: factor on the probability. clip:
    whether boxes are clipped to their parts. Boxes outside their part are dropped.
    """
    height, width = given.size
    if not happens(config.probability * strength, rng) or min(height, width) < 4:
        return given
    four = [given, *islice(others, 3)]
    if len(four) < 4:
        return given
    x, y = (round(side * float(rng.uniform(NEAREST, FARTHEST))) for side in (width, height))
    corners = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    canvas = torch.empty_like(given.image)
    parts = []
    for place, source in zip(rng.permutation(4).tolist(), four, strict=True):
        left, top, right, bottom = corners[place]
        part = _window(source, (bottom - top, right - left), rng, clip=clip)
        canvas[:, top:bottom, left:right] = part.image
        parts.append(_shifted(part, left, top))
    return Labelled(
        image=canvas,
        boxes=torch.cat([part.boxes for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        ignore=torch.cat([part.ignore for part in parts]),
        shapes=[shape for part in parts for shape in part.shapes],
    )


def _window(source: Labelled, size: tuple[int, int], rng: np.random.Generator, *, clip: bool) -> Labelled:
    """Returns a window of (height, width) `size` of an image that was resized to cover it."""
    height, width = size
    scale = max(height / source.size[0], width / source.size[1])
    resized = max(height, math.ceil(scale * source.size[0])), max(width, math.ceil(scale * source.size[1]))
    top, left = (int(rng.integers(side - cut, endpoint=True)) for side, cut in zip(resized, size, strict=True))
    image = F.resize(source.image, list(resized), InterpolationMode.BILINEAR, antialias=True)
    boxes = box_ops.rescale(source.boxes, source.size, resized) - source.boxes.new_tensor([left, top, left, top])
    clipped = box_ops.clip(boxes, height=height, width=width)
    share = box_ops.area(clipped) / box_ops.area(boxes).clamp(min=1e-9)
    kept = torch.nonzero(share > 0).flatten()
    factors = resized[1] / source.size[1], resized[0] / source.size[0]
    shapes = [source.shapes[row] for row in kept.tolist()]
    return Labelled(
        image=image[:, top : top + height, left : left + width],
        boxes=(clipped if clip else boxes)[kept],
        labels=source.labels[kept],
        ignore=(source.ignore | (share < LEAST_LEFT))[kept],
        shapes=[None if shape is None else moved(shape, factors, (-left, -top)) for shape in shapes],
    )


def _shifted(part: Labelled, left: int, top: int) -> Labelled:
    shapes = [None if shape is None else moved(shape, (1.0, 1.0), (left, top)) for shape in part.shapes]
    return part._replace(boxes=part.boxes + part.boxes.new_tensor([left, top, left, top]), shapes=shapes)
