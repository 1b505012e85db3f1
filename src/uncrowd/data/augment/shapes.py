"""The silhouettes of objects as polygons, which can be moved, bounded and filled."""

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image, ImageDraw

from uncrowd.data.augment.chance import Number
from uncrowd.data.run_lengths import object_runs
from uncrowd.structures import Outline

# Polygons of (x, y) in pixels; the silhouette is their union.
Shape = tuple[Float[np.ndarray, "_ 2"], ...]

# A silhouette is filled on a grid so many times finer than the pixels.
FINER = 4


def shape_of(outline: Outline | None, size: tuple[int, int]) -> Shape | None:
    """Returns an outline as polygons; None where there is none, or where its text holds no mask.

    size: (height, width) of the image.
    """
    if not isinstance(outline, str):
        return outline
    runs = object_runs(outline, size)
    return None if runs is None or len(runs[0]) == 0 else _steps(*_by_column(*runs, height=size[0]))


def moved(shape: Shape, scale: tuple[Number, Number], shift: tuple[Number, Number]) -> Shape:
    """Returns the shape with each (x, y) times `scale` and then plus `shift`."""
    return tuple(polygon * np.asarray(scale) + np.asarray(shift) for polygon in shape)


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """Returns the corners (x1, y1, x2, y2) of the box around a shape."""
    points = np.concatenate(shape)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


def cover(shape: Shape, left: int, top: int, width: int, height: int) -> Float32[np.ndarray, "{height} {width}"]:
    """Returns the share of each pixel of a window that the shape covers."""
    fine = Image.new("L", (FINER * width, FINER * height))
    draw = ImageDraw.Draw(fine)
    for polygon in shape:
        # PIL's whole numbers are the centres of pixels. It fills those on the edge too: an eighth of a pixel too much.
        points = (polygon - (left, top)) * FINER - 0.5
        draw.polygon([(x, y) for x, y in points.tolist()], fill=255)
    return np.asarray(fine.reduce(FINER), dtype=np.float32) / 255


def ellipse(
    box: tuple[float, float, float, float], left: int, top: int, width: int, height: int, feather: float = 0.0
) -> Float32[np.ndarray, "{height} {width}"]:
    """Returns the share of each pixel of a window that the ellipse in a box covers.

    feather: the share of the radius, from the edge inward, over which it falls from 1 to 0.
    """
    x1, y1, x2, y2 = box
    x = (np.arange(left, left + width) + 0.5 - (x1 + x2) / 2) / max((x2 - x1) / 2, 0.5)
    y = (np.arange(top, top + height) + 0.5 - (y1 + y2) / 2) / max((y2 - y1) / 2, 0.5)
    radius = np.sqrt(x**2 + y[:, None] ** 2)
    covered = np.clip((1 - radius) / feather, 0, 1) if feather > 0 else radius <= 1
    return covered.astype(np.float32)


def _by_column(first: np.ndarray, end: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns column, top and bottom of each part of runs within one column. first, end: pixels down the columns."""
    columns = (end - 1) // height - first // height + 1
    run = np.repeat(np.arange(len(first)), columns)
    column = first[run] // height + np.arange(len(run)) - np.repeat(np.cumsum(columns) - columns, columns)
    top = np.maximum(first[run] - column * height, 0)
    bottom = np.minimum(end[run] - column * height, height)
    return column, top, bottom


def _steps(column: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> Shape:
    """Returns one polygon where columns without a gap have one part each; otherwise a rectangle for each part."""
    groups = [np.arange(len(column))] if (np.diff(column) == 1).all() else np.arange(len(column))[:, None]
    polygons = []
    for rows in groups:
        x = np.stack([column[rows], column[rows] + 1], axis=1).ravel()
        above, below = np.repeat(top[rows], 2), np.repeat(bottom[rows], 2)
        polygons.append(np.concatenate([np.stack([x, above], 1), np.stack([x, below], 1)[::-1]]).astype(np.float64))
    return tuple(polygons)
