"""Colour jitter: other light, another camera, another white balance. Boxes stay as they are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812, the name everybody knows it by

from uncrowd.data.augment.chance import around, happens
from uncrowd.errors import require_at_least, require_at_most, require_probability


@dataclass(frozen=True, kw_only=True)
class ColourConfig:
    """Colour jitter. Each strength is the most by which its factor strays from 1; 0 leaves it at 1."""

    # Probability that the colours of an image are changed. 0 turns it off.
    probability: float = 0.0
    # Strength of the change in brightness.
    brightness: float = 0.3
    # Strength of the change in contrast.
    contrast: float = 0.3
    # Strength of the change in saturation.
    saturation: float = 0.3
    # The most by which the hue turns, as a share of the colour circle.
    hue: float = 0.02

    def __post_init__(self) -> None:
        """Raises InputError for an impossible probability or strength."""
        require_probability(probability=self.probability)
        require_at_least(0, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation)
        require_at_most(1, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation)
        require_at_least(0, hue=self.hue)
        require_at_most(0.5, hue=self.hue)


def jitter_colours(
    config: ColourConfig, image: UInt8[Tensor, "3 h w"], rng: np.random.Generator
) -> UInt8[Tensor, "3 h w"]:
    """Returns an RGB image with other colours, or as it is, by chance."""
    if not happens(config.probability, rng):
        return image
    image = F.adjust_brightness(image, around(1, config.brightness, rng))
    image = F.adjust_contrast(image, around(1, config.contrast, rng))
    image = F.adjust_saturation(image, around(1, config.saturation, rng))
    return F.adjust_hue(image, around(0, config.hue, rng))
