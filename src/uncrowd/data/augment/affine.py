"""Small rotation, change of scale and shear about the centre of an image, which its boxes follow."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812, the name everybody knows it by
from torchvision.tv_tensors import KeyPoints

from uncrowd.data.augment.chance import around, happens, require_range
from uncrowd.data.augment.labelled import Labelled
from uncrowd.data.augment.shapes import bounds
from uncrowd.errors import require_at_least, require_at_most, require_probability

# In degrees: boxes follow small angles well, and large ones badly.
STEEPEST = 45
# In pixels: the file's box is that of the outline if their sides differ by no more. A full body's box and the outline
# of its visible part differ by more.
SAME = 2.0


@dataclass(frozen=True, kw_only=True)
class AffineConfig:
    """Rotation, scale and shear, all at once. The image keeps its size; what is uncovered gets its mean colour."""

    # Probability that an image is warped. 0 turns it off.
    probability: float = 0.0
    # Largest rotation to either side, in degrees.
    rotation: float = 6.0
    # Least and largest change of scale.
    scale: tuple[float, float] = (0.8, 1.25)
    # Largest shear of each axis, in degrees.
    shear: float = 3.0

    def __post_init__(self) -> None:
        """Raises InputError for an impossible probability, angle or scale."""
        require_probability(probability=self.probability)
        require_at_least(0, rotation=self.rotation, shear=self.shear)
        require_at_most(STEEPEST, rotation=self.rotation, shear=self.shear)
        require_range("scale", self.scale, 0.1, 10)


def warp(config: AffineConfig, given: Labelled, rng: np.random.Generator) -> Labelled:
    """Returns the image and its objects warped, or as they are, by chance.

    A box becomes the box around its object's outline where that is known, and otherwise the box around the ellipse in
    it. The box around its rotated corners would be looser than a box drawn by hand, as few objects fill the corners of
    their boxes.
    """
    if not happens(config.probability, rng):
        return given
    angle = around(0, config.rotation, rng)
    low, high = config.scale
    scale = math.exp(rng.uniform(math.log(low), math.log(high)))
    shear = [around(0, config.shear, rng), around(0, config.shear, rng)]
    mean = given.image.float().mean(dim=(1, 2)).tolist()
    image = F.affine(given.image, angle, [0.0, 0.0], scale, shear, InterpolationMode.BILINEAR, fill=mean)

    def follow(points: Float[Tensor, "k 2"]) -> Float[Tensor, "k 2"]:
        points = KeyPoints(points, canvas_size=given.size)  # pyright: ignore[reportCallIssue]
        return F.affine(points, angle, [0.0, 0.0], scale, shear).as_subclass(Tensor)

    boxes = _around_ellipses(given.boxes, follow)
    shapes = list(given.shapes)
    for row, shape in enumerate(given.shapes):
        if shape is None:
            continue
        points = follow(torch.from_numpy(np.concatenate(shape)).float()).numpy()
        warped = tuple(np.split(points, np.cumsum([len(polygon) for polygon in shape[:-1]])))
        shapes[row] = warped
        if (given.boxes[row] - torch.tensor(bounds(shape))).abs().max() <= SAME:
            boxes[row] = torch.tensor(bounds(warped))
    return given._replace(image=image, boxes=boxes, shapes=shapes)


def _around_ellipses(boxes: Float[Tensor, "n 4"], follow: Callable[[Tensor], Tensor]) -> Float[Tensor, "n 4"]:
    """Returns the boxes around what the ellipses in `boxes` become under the affine map `follow` of points.

    A half axis becomes a vector each; half of a side of the new box is the root of the sum of both squared, as the
    ellipse is the vectors' sum with weights cos t and sin t.
    """
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    along_x, along_y = half * half.new_tensor([1, 0]), half * half.new_tensor([0, 1])
    centre, x, y = follow(torch.cat([centre, centre + along_x, centre + along_y])).view(3, len(boxes), 2)
    half = ((x - centre) ** 2 + (y - centre) ** 2).sqrt()
    return torch.cat([centre - half, centre + half], dim=1)
