"""A detector that finds all objects of a view, and scenes for it."""

import math

import numpy as np
import torch
from torch import Tensor

from uncrowd.boxes import area
from uncrowd.inference.merge import Grid, Views


def scene(rng: np.random.Generator, size: tuple[int, int], objects: int, sides: tuple[float, float]) -> Tensor:
    """Boxes of all sizes between the two, half of them beside another one."""
    height, width = size
    low, high = (math.log(side) for side in sides)
    extent = np.exp(rng.uniform(low, high, (objects, 1)) + rng.uniform(-0.5, 0.5, (objects, 2)))
    centre = rng.uniform((0, 0), (width, height), (objects, 2))
    half = objects // 2
    beside = rng.integers(half, objects, half) if half else []
    centre[:half] = centre[beside] + rng.normal(0, 0.25, (half, 2)) * extent[beside]
    extent[:half] = extent[beside] * rng.uniform(0.8, 1.25, (half, 2))
    boxes = np.concatenate([centre - extent / 2, centre + extent / 2], 1).clip(0, [width, height] * 2)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > 1).all(1)]
    return torch.from_numpy(boxes).float()


def visible(boxes: Tensor, view: tuple[int, int, int, int], least: float) -> tuple[Tensor, Tensor]:
    """Returns which objects have at least the share `least` of their area in a view, and the boxes of these parts."""
    low, high = torch.tensor(view[:2] * 2), torch.tensor(view[2:] * 2)
    parts = boxes.maximum(low).minimum(high)
    seen = torch.nonzero(area(parts) > least * area(boxes))[:, 0]
    return seen, parts[seen]


def views_of(boxes: Tensor, labels: Tensor, grid: Grid, least: float) -> tuple[Views, Tensor]:
    """Returns what is found in all tiles and in the whole image, and which object each of these detections is."""
    tiles = [(left, top, right, bottom) for top, bottom in grid.rows for left, right in grid.columns]
    found = [visible(boxes, tile, least) for tile in tiles]
    found.append((torch.arange(len(boxes)), boxes))
    which, parts = (torch.cat(values) for values in zip(*found, strict=True))
    numbers = torch.tensor([*range(len(tiles)), -1])
    number = numbers.repeat_interleave(torch.tensor([len(seen) for seen, _ in found]))
    return Views(parts, torch.full((len(parts),), 0.9), labels[which], number), which
