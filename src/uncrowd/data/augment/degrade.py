"""Blur and noise, as of a worse lens and a worse sensor. Boxes stay as they are."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812, the name everybody knows it by

from uncrowd.data.augment.chance import happens, require_range
from uncrowd.errors import require_probability

# The widest blur in network pixels, and the strongest noise in levels of 0 to 255, that can be configured.
WIDEST, STRONGEST = 20, 128
# How many standard deviations of a Gaussian its kernel reaches to each side.
REACH = 3


@dataclass(frozen=True, kw_only=True)
class BlurConfig:
    """Gaussian blur."""

    # Probability that an image is blurred. 0 turns it off.
    probability: float = 0.0
    # Least and largest standard deviation, in pixels of the resized image.
    sigma: tuple[float, float] = (0.3, 1.5)

    def __post_init__(self) -> None:
        """Raises InputError for an impossible probability or width."""
        require_probability(probability=self.probability)
        require_range("sigma", self.sigma, 0.1, WIDEST)


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Gaussian noise, drawn for each pixel and channel on its own."""

    # Probability that an image gets noise. 0 turns it off.
    probability: float = 0.0
    # Least and largest standard deviation, in levels of 0 to 255.
    sigma: tuple[float, float] = (2.0, 10.0)

    def __post_init__(self) -> None:
        """Raises InputError for an impossible probability or strength."""
        require_probability(probability=self.probability)
        require_range("sigma", self.sigma, 0, STRONGEST)


def blur(config: BlurConfig, image: UInt8[Tensor, "3 h w"], rng: np.random.Generator) -> UInt8[Tensor, "3 h w"]:
    """Returns the image blurred, or as it is, by chance."""
    if not happens(config.probability, rng):
        return image
    sigma = float(rng.uniform(*config.sigma))
    # The kernel reflects the image at its edges, so it can reach no farther than the image.
    reach = min(math.ceil(REACH * sigma), min(image.shape[-2:]) - 1)
    return F.gaussian_blur(image, [2 * reach + 1, 2 * reach + 1], [sigma, sigma])


def add_noise(config: NoiseConfig, image: UInt8[Tensor, "3 h w"], rng: np.random.Generator) -> UInt8[Tensor, "3 h w"]:
    """Returns the image with noise, or as it is, by chance.

    torchvision's own noise draws from torch's global generator, on which a resumed run could not rely.
    """
    if not happens(config.probability, rng):
        return image
    noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    return (image + noise * float(rng.uniform(*config.sigma))).round_().clamp_(0, 255).to(torch.uint8)
