"""Detects in a large image tile by tile, and once in the whole image at the size that the model wants."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from uncrowd.boxes import clip, rescale
from uncrowd.data.images.rows import ImageRows
from uncrowd.data.transforms import LEAST_TILE, LONGEST, ResizeConfig, resized_size
from uncrowd.errors import require_at_most, require_whole
from uncrowd.inference.merge import Grid, Views, merge
from uncrowd.structures import Detections

# The most tiles of an image about which nothing is said.
MANY = 10_000
# The whole image is first averaged to this many times the size that the model wants, as Pillow's `reducing_gap` does.
GAP = 2
# Rows of the image that are averaged at once.
BAND = 512

# Takes images of any sizes and returns the detections of each, in its own pixels.
Detect = Callable[[list[UInt8[np.ndarray, "_h _w 3"]]], list[Detections]]


@dataclass(frozen=True, kw_only=True)
class TilesConfig:
    """Overlapping square tiles, each of which is an image for the model and is resized like one."""

    # Side of a tile in pixels of the image.
    side: int = 640
    # Pixels that neighbouring tiles share at least. An object up to this wide and high is whole in some tile.
    overlap: int = 128

    def __post_init__(self) -> None:
        """Raises InputError for a side that is too small or that no image has, and for an overlap above half of it."""
        require_whole(LEAST_TILE, side=self.side)
        require_at_most(LONGEST, side=self.side)
        require_whole(1, overlap=self.overlap)
        require_at_most(self.side // 2, overlap=self.overlap)

    @classmethod
    def of_side(cls, side: int) -> "TilesConfig":
        """Returns tiles that share a fifth of their side."""
        return cls(side=side, overlap=max(1, side // 5))


def grid_of(size: tuple[int, int], config: TilesConfig) -> Grid:
    """Returns the fewest tiles that cover an image of (height, width) `size`, evenly spread and all of one size."""
    rows, columns = (_spans(length, config.side, config.overlap) for length in size)
    return Grid(rows, columns)


def number_of_views(size: tuple[int, int], config: TilesConfig) -> int:
    """Returns in how many views an image of (height, width) `size` is detected in: its tiles, and the whole of it."""
    tiles = grid_of(size, config).tiles
    return 1 if tiles == 1 else tiles + 1


def detect_in_tiles(image: ImageRows, config: TilesConfig, resize: ResizeConfig, detect: Detect) -> Detections:
    """Returns the detections of an image, in its pixels and best first. An image of one tile is detected in as a whole.

    resize: how `detect` resizes an image. The image is read in bands of one row of tiles, then once more for the coarse
    pass. Warns before it begins with very many tiles.
    """
    grid = grid_of(image.size, config)
    height, width = image.size
    if grid.tiles > MANY:
        warnings.warn(
            f"An image of {height} x {width} pixels is cut into {grid.tiles:,} tiles of {config.side} pixels, which "
            "takes long; fewer, larger ones take less.",
            stacklevel=2,
        )
    if grid.tiles == 1:
        return detect([image.rows(0, height)])[0]
    found: list[Detections] = []
    origins: list[tuple[int, int]] = []
    for top, bottom in grid.rows:
        band = image.rows(top, bottom)
        found += detect([band[:, left:right] for left, right in grid.columns])
        origins += [(left, top) for left, _ in grid.columns]
    boxes = [each.boxes + each.boxes.new_tensor(origin * 2) for each, origin in zip(found, origins, strict=True)]
    reduced = _reduced(image, resize)
    (coarse,) = detect([reduced])
    boxes.append(clip(rescale(coarse.boxes, reduced.shape[:2], image.size), height, width))
    tile = [torch.full((len(each),), number) for number, each in enumerate(found)]
    views = Views(
        torch.cat(boxes),
        torch.cat([each.scores for each in (*found, coarse)]),
        torch.cat([each.labels for each in (*found, coarse)]),
        torch.cat([*tile, torch.full((len(coarse),), -1)]),
    )
    kept = merge(views, grid, config.overlap)
    kept = kept[views.scores[kept].argsort(descending=True, stable=True)]
    return Detections(
        boxes=views.boxes[kept], scores=views.scores[kept], labels=views.labels[kept], categories=coarse.categories
    )


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    if length <= side:
        return [(0, length)]
    steps = -(-(length - side) // (side - overlap))
    starts = [round(step * (length - side) / steps) for step in range(steps + 1)]
    return [(start, start + side) for start in starts]


def _reduced(image: ImageRows, resize: ResizeConfig) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the image, averaged over squares of pixels where it is much larger than the model wants it."""
    height, width = image.size
    wanted = max(resized_size(height, width, resize.short_side, resize.max_size))
    factor = max(1, int(max(height, width) / wanted / GAP))
    band = -(-BAND // factor) * factor
    bands = (image.rows(top, min(top + band, height)) for top in range(0, height, band))
    return np.concatenate([np.asarray(Image.fromarray(rows).reduce(factor)) for rows in bands])
