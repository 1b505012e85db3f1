"""Objects cut out of their images: by their outline where it is known, else as a feathered ellipse in their box."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812, the name everybody knows it by

from uncrowd.data.augment.labelled import Labelled
from uncrowd.data.augment.shapes import Shape, cover, ellipse, moved

# The share of an ellipse's radius over which a cutout fades, because the ellipse is not the object's own edge.
FEATHER = 0.25


class Cutout(NamedTuple):
    """Part of an image with one object.

    cover: how much of each pixel is the object's. box, shape: in the pixels of the part; the box may be larger than it.
    """

    image: UInt8[Tensor, "3 h w"]
    cover: Float[Tensor, "h w"]
    box: Float[Tensor, " 4"]
    label: int
    shape: Shape | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the part."""
        return self.cover.shape[0], self.cover.shape[1]


class Silhouette(NamedTuple):
    """Where an object is seen, and how much of it in 0 to 1: the window's top left pixel is (left, top)."""

    left: int
    top: int
    seen: Float[Tensor, "h w"]


def cut(given: Labelled, row: int) -> Cutout:
    """Cuts one object out of its image. Its box must overlap the image."""
    left, top, width, height = _window(given.boxes[row], given.size)
    shape = given.shapes[row]
    x1, y1, x2, y2 = given.boxes[row].tolist()
    covered = (
        ellipse((x1, y1, x2, y2), left, top, width, height, FEATHER)
        if shape is None
        else cover(shape, left, top, width, height)
    )
    return Cutout(
        image=given.image[:, top : top + height, left : left + width],
        cover=torch.from_numpy(covered),
        box=given.boxes[row] - given.boxes.new_tensor([left, top, left, top]),
        label=int(given.labels[row]),
        shape=None if shape is None else moved(shape, (1.0, 1.0), (-left, -top)),
    )


def resized(cutout: Cutout, scale: float, *, flip: bool) -> Cutout:
    """Returns the cutout at another scale, and mirrored left to right if wanted; it is at least a pixel in size."""
    height, width = (max(1, round(scale * side)) for side in cutout.size)
    y, x = height / cutout.size[0], width / cutout.size[1]
    image = F.resize(cutout.image, [height, width], InterpolationMode.BILINEAR, antialias=True)
    covered = F.resize(cutout.cover[None], [height, width], InterpolationMode.BILINEAR, antialias=True)[0]
    box = cutout.box * cutout.box.new_tensor([x, y, x, y])
    shape = None if cutout.shape is None else moved(cutout.shape, (x, y), (0.0, 0.0))
    if flip:
        image, covered = image.flip(-1), covered.flip(-1)
        x1, y1, x2, y2 = box.unbind()
        box = torch.stack([width - x2, y1, width - x1, y2])
        shape = None if shape is None else moved(shape, (-1.0, 1.0), (width, 0.0))
    return Cutout(image=image, cover=covered.clamp(0, 1), box=box, label=cutout.label, shape=shape)


def silhouette(given: Labelled, row: int) -> Silhouette:
    """Returns an object as nothing hides it: its outline where it is known, else the ellipse in its box."""
    left, top, width, height = _window(given.boxes[row], given.size)
    shape = given.shapes[row]
    x1, y1, x2, y2 = given.boxes[row].tolist()
    window = left, top, width, height
    covered = ellipse((x1, y1, x2, y2), *window) if shape is None else cover(shape, *window)
    return Silhouette(left, top, torch.from_numpy(covered >= 0.5).float())


def _window(box: Float[Tensor, " 4"], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns left, top, width and height, at least 1, of the pixels of an image that a box touches."""
    x1, y1, x2, y2 = box.tolist()
    left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
    left, top = min(left, size[1] - 1), min(top, size[0] - 1)
    return left, top, max(1, min(size[1], math.ceil(x2)) - left), max(1, min(size[0], math.ceil(y2)) - top)
