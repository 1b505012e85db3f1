"""Turns the pixels and boxes of an image file into the network's input: flips, crops and resizing.

All are pure functions that take a random generator; `image_rng` makes it from (seed, epoch, image).
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812, the name everybody knows it by

from uncrowd import boxes as box_ops
from uncrowd.data.augment.affine import AffineConfig, warp
from uncrowd.data.augment.colour import ColourConfig, jitter_colours
from uncrowd.data.augment.degrade import BlurConfig, NoiseConfig, add_noise, blur
from uncrowd.data.augment.labelled import Labelled, labelled, to_tensor
from uncrowd.data.augment.mosaic import MosaicConfig, mosaic
from uncrowd.data.augment.others import Others
from uncrowd.data.augment.paste import PasteConfig, paste
from uncrowd.errors import InputError, require_probability, require_whole
from uncrowd.structures import Sample, Target

# In pixels: a box whose shorter side is below this after clipping is dropped.
MIN_SIDE = 1e-5
# In pixels: the longest side that can be configured. Longer ones are typing errors and would not fit in memory.
LONGEST = 65_536
# Least side of a tile: the coarsest features of the models have a cell for each square of 32 pixels.
LEAST_TILE = 32


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """DETR's crop: resize the short side to one of `short_sides`, then cut out a window with each side in `sides`."""

    # Probability that an image is cropped.
    probability: float = 0.5
    # Short sides to choose from before the crop.
    short_sides: tuple[int, ...] = (400, 500, 600)
    # Shortest and longest side of the window.
    sides: tuple[int, int] = (384, 600)

    def __post_init__(self) -> None:
        """Raises InputError for an impossible probability or size of the window."""
        require_probability(probability=self.probability)
        _require_lengths("short_sides", self.short_sides)
        _require_lengths("sides", self.sides)
        if self.sides[0] > self.sides[1]:
            raise InputError(f"sides are {self.sides[0]} and {self.sides[1]}; give the shortest first.")


@dataclass(frozen=True, kw_only=True)
class TrainTransformConfig:
    """The settings of `augment`."""

    # Short sides to choose from for each image.
    short_sides: tuple[int, ...] = tuple(range(480, 801, 32))
    # Longest long side.
    max_size: int = 1333
    # Probability of a flip left to right.
    horizontal_flip: float = 0.5
    # Probability of a flip upside down.
    vertical_flip: float = 0.0
    # Random crops, or None.
    crop: CropConfig | None = None
    # Cut a random square of this side out of each image before it is resized, as `predict --tiles` cuts images; None
    # takes whole images.
    tile: int | None = None
    # Clip boxes to the image or crop. Full-body boxes are not clipped: they include hidden parts outside the image.
    clip_boxes: bool = True
    # Four images in one.
    mosaic: MosaicConfig = field(default_factory=MosaicConfig)
    # Objects pasted over those of an image, so that they overlap.
    paste: PasteConfig = field(default_factory=PasteConfig)
    # Rotation, scale and shear.
    affine: AffineConfig = field(default_factory=AffineConfig)
    # Changes of the colours.
    colour: ColourConfig = field(default_factory=ColourConfig)
    # Blur.
    blur: BlurConfig = field(default_factory=BlurConfig)
    # Noise.
    noise: NoiseConfig = field(default_factory=NoiseConfig)

    def __post_init__(self) -> None:
        """Raises InputError for sizes that no image can have and for values outside [0, 1] as a probability."""
        _require_lengths("short_sides", self.short_sides)
        _require_lengths("max_size", (self.max_size,))
        require_probability(horizontal_flip=self.horizontal_flip, vertical_flip=self.vertical_flip)
        if self.tile is not None:
            require_whole(LEAST_TILE, tile=self.tile)
            _require_lengths("tile", (self.tile,))

    @property
    def borrows(self) -> bool:
        """Whether an image may take something from the training set, so that `augment` needs it."""
        return self.paste.probability > 0 or self.mosaic.probability > 0


@dataclass(frozen=True, kw_only=True)
class ResizeConfig:
    """The size to which images are resized at inference."""

    # Short side, unless the long side would exceed `max_size`.
    short_side: int = 800
    # Longest long side.
    max_size: int = 1333

    def __post_init__(self) -> None:
        """Raises InputError for sizes that no image can have."""
        _require_lengths("short_side", (self.short_side,))
        _require_lengths("max_size", (self.max_size,))

    def with_short_side(self, short_side: int) -> "ResizeConfig":
        """Returns the same with another short side, and with a longest long side in proportion.

        Raises InputError for a short side that no image can have.
        """
        longest = round(self.max_size * short_side / self.short_side)
        return ResizeConfig(short_side=short_side, max_size=min(max(1, longest), LONGEST))


def image_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Returns the random generator for image `index` of the dataset in `epoch`; it is the same in every worker."""
    return np.random.default_rng(np.random.SeedSequence((seed, epoch), spawn_key=(index,)))


def augment(
    config: TrainTransformConfig,
    pixels: UInt8[np.ndarray, "h w 3"],
    sample: Sample,
    rng: np.random.Generator,
    others: Others | None = None,
    strength: float = 1.0,
) -> tuple[UInt8[Tensor, "3 new_h new_w"], Target]:
    """Augments an image and its boxes; returns them in network pixels after flips, perhaps crops, and a random size.

    What else `config` asks for comes on top. What is off draws no number, so it changes nothing. others: the images of
    the training set, for what is taken from them; pasting comes first, because objects are compared with those of the
    image itself. strength: factor on how often something is, from `strength_in`.

    The sample's ignored boxes become `Target.ignored`. Boxes that end up outside the image or crop are dropped, so
    the target may be empty.
    """
    warps = config.affine.probability > 0
    given = labelled(pixels, sample, with_shapes=warps or config.paste.probability > 0)
    if others is not None:
        cutouts = others.cutouts(given, sample.id, rng, config.paste.same_image)
        given = paste(config.paste, given, cutouts, rng, strength)
        images = others.images(sample.id, rng, with_shapes=warps)
        given = mosaic(config.mosaic, given, images, rng, strength, clip=config.clip_boxes)
    given = warp(config.affine, given, rng)
    image, boxes = given.image, given.boxes
    if rng.random() < config.horizontal_flip:
        image, boxes = _flip_horizontally(image, boxes)
    if rng.random() < config.vertical_flip:
        image, boxes = _flip_vertically(image, boxes)
    if config.tile is not None:
        height, width = (min(config.tile, side) for side in image.shape[-2:])
        image, boxes = _cut_out(image, boxes, (height, width), rng)
    if config.crop is not None and rng.random() < config.crop.probability:
        image, boxes = _random_crop(config.crop, image, boxes, rng)
    height, width = image.shape[-2:]
    size = resized_size(height, width, int(rng.choice(config.short_sides)), config.max_size)
    image, boxes = _resize(image, boxes, size)
    image = jitter_colours(config.colour, image, rng)
    image = add_noise(config.noise, blur(config.blur, image, rng), rng)
    return image, _target(given._replace(boxes=boxes), size, config.clip_boxes)


def strength_in(epoch: int, epochs: int) -> float:
    """Returns 1, and in the last fifth of training a number that falls in proportion, to 0 in the last epoch."""
    return min(1.0, (epochs - 1 - epoch) / (epochs / 5))


def resize(pixels: UInt8[np.ndarray, "h w 3"], config: ResizeConfig) -> UInt8[Tensor, "3 new_h new_w"]:
    """Resizes an image to the size that the network gets at inference; its values stay 0-255."""
    height, width = pixels.shape[:2]
    return _resize_image(to_tensor(pixels), resized_size(height, width, config.short_side, config.max_size))


def resized_size(height: int, width: int, short_side: int, max_size: int | float) -> tuple[int, int]:
    """Returns height and width after Detectron2's ResizeShortestEdge; each is at least 1.

    The short side becomes `short_side`, unless the long side would exceed `max_size`; then the long side becomes that.
    """
    scale = short_side / min(height, width)
    new_height, new_width = (short_side, scale * width) if height < width else (scale * height, short_side)
    shrink = min(1.0, max_size / max(new_height, new_width))
    return max(1, int(new_height * shrink + 0.5)), max(1, int(new_width * shrink + 0.5))


def _require_lengths(name: str, lengths: tuple[int, ...]) -> None:
    if not lengths or min(lengths) < 1 or max(lengths) > LONGEST:
        raise InputError(f"{name} is {', '.join(map(str, lengths)) or 'empty'}; give 1 to {LONGEST:,} pixels.")


def _flip_horizontally(image: Tensor, boxes: Float[Tensor, "n 4"]) -> tuple[Tensor, Tensor]:
    return F.horizontal_flip(image), box_ops.flip_horizontally(boxes, image.shape[-1])


def _flip_vertically(image: Tensor, boxes: Float[Tensor, "n 4"]) -> tuple[Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    height = image.shape[-2]
    return F.vertical_flip(image), torch.stack([x1, height - y2, x2, height - y1], dim=-1)


def _random_crop(
    config: CropConfig, image: Tensor, boxes: Float[Tensor, "n 4"], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    size = resized_size(height, width, int(rng.choice(config.short_sides)), math.inf)
    image, boxes = _resize(image, boxes, size)
    shortest, longest = config.sides
    height, width = (int(rng.integers(min(shortest, side), min(longest, side), endpoint=True)) for side in size)
    return _cut_out(image, boxes, (height, width), rng)


def _cut_out(
    image: Tensor, boxes: Float[Tensor, "n 4"], window: tuple[int, int], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Returns the part of an image in a window of (height, width) `window` at a random place."""
    height, width = window
    top, left = (
        int(rng.integers(side - cut, endpoint=True)) for side, cut in zip(image.shape[-2:], window, strict=True)
    )
    return F.crop(image, top, left, height, width), boxes - boxes.new_tensor([left, top, left, top])


def _resize(image: Tensor, boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return _resize_image(image, size), box_ops.rescale(boxes, (image.shape[-2], image.shape[-1]), size)


def _resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.resize(image, list(size), InterpolationMode.BILINEAR, antialias=True)


def _target(given: Labelled, size: tuple[int, int], clip: bool) -> Target:
    clipped = box_ops.clip(given.boxes, height=float(size[0]), width=float(size[1]))
    inside = (clipped[:, 2:] - clipped[:, :2] > MIN_SIDE).all(dim=-1)
    kept = clipped if clip else given.boxes
    is_object, is_ignored = inside & ~given.ignore, inside & given.ignore
    return Target(boxes=kept[is_object], labels=given.labels[is_object], ignored=kept[is_ignored], size=size)
