"""An image and its objects while they are augmented."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from uncrowd.data.augment.shapes import Shape, shape_of
from uncrowd.structures import Sample


class Labelled(NamedTuple):
    """An image (RGB) and its objects, in the pixels of the image. shapes: the silhouette of each where it is known."""

    image: UInt8[Tensor, "3 h w"]
    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    ignore: Bool[Tensor, " n"]
    shapes: list[Shape | None]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return self.image.shape[-2], self.image.shape[-1]


def labelled(pixels: UInt8[np.ndarray, "h w 3"], sample: Sample, *, with_shapes: bool) -> Labelled:
    """Returns the image of a sample with its objects. with_shapes: False leaves outlines out, which take time."""
    outlines = sample.outlines if with_shapes and sample.outlines else (None,) * len(sample.boxes)
    return Labelled(
        image=to_tensor(pixels),
        boxes=torch.tensor(sample.boxes, dtype=torch.float32),
        labels=torch.tensor(sample.labels),
        ignore=torch.tensor(sample.ignore),
        shapes=[shape_of(outline, sample.size) for outline in outlines],
    )


def to_tensor(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[Tensor, "3 h w"]:
    """Returns an image as a tensor, without a copy unless it is one that torch cannot share.

    Torch cannot share a read-only array, or one that is mirrored by its strides.
    """
    return torch.from_numpy(np.require(pixels, requirements=("C", "W"))).permute(2, 0, 1)
