"""Measures how tiles are merged: `python -m benchmarks.tiles` from the project's root.

Objects are boxes at random places of a made image, half of them beside another one. A made-up detector finds them: in
each tile, and in the whole image, it misses some, shifts the sides of the others, finds parts of objects that a border
cuts, and adds poor duplicates. It sees objects in the coarse pass only if they are large enough there. The same
detector without tiles, which sees every object whole and at full size, is the yardstick.

Recall is the share of objects whose best detection, at the threshold, has an IoU of at least 0.5 with it. An object is
found twice if two detections of it are left. Which object a detection is of is known, so neither depends on a matching.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from benchmarks.command import run
from benchmarks.memory import peak_on_host
from benchmarks.record import commit, machine
from torch import Tensor

from uncrowd.boxes import area, iou
from uncrowd.errors import require_at_least
from uncrowd.inference.merge import Views, merge
from uncrowd.inference.tiles import TilesConfig, grid_of


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Merge the tiles of a made image with a made-up detector, and count what is lost and found twice."""

    # Side of the image.
    image: int = 10_000
    # Objects in it.
    objects: int = 20_000
    # Shortest and longest side of an object, about; they are spread evenly over the logarithm.
    sides: tuple[float, float] = (12.0, 300.0)
    # Side of a tile.
    tile: int = 640
    # Pixels that neighbouring tiles share.
    overlap: int = 128
    # Standard deviation of each side of a box, as a share of the object's width or height.
    noise: float = 0.04
    # Probability that an object is missed in a view.
    missed: float = 0.05
    # A part of an object is found with a probability that grows from 0 to 1 between these visible shares.
    parts: tuple[float, float] = (0.1, 0.5)
    # Poor duplicates for each object found, with scores below the threshold.
    duplicates: float = 0.3
    # Side of the whole image in the coarse pass.
    coarse: int = 800
    # Least side of an object that is found there, in pixels of the coarse pass.
    coarse_least: float = 8.0
    # Least score of a detection that counts.
    threshold: float = 0.3
    # Seeds; each draws another image.
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        """Raises InputError for an image without objects."""
        require_at_least(1, **{"--image": self.image, "--objects": self.objects})


def main(argv: Sequence[str]) -> int:
    """Prints a line for each seed."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.tiles")
    print(f"{machine()}, commit {commit()}")
    for seed in arguments.seeds:
        print(_line(arguments, seed))
    peak = peak_on_host(_line, arguments, arguments.seeds[0])
    print(f"peak memory of drawing and merging: {'unknown' if peak is None else f'{peak / 2**20:.0f} MiB'}")
    return 0


def _line(arguments: Arguments, seed: int) -> str:
    rng = np.random.default_rng(seed)
    objects = draw(rng, arguments.image, arguments.objects, arguments.sides)
    size, tiles = (arguments.image, arguments.image), TilesConfig(side=arguments.tile, overlap=arguments.overlap)
    grid = grid_of(size, tiles)
    squares = [(left, top, right, bottom) for top, bottom in grid.rows for left, right in grid.columns]
    everything = (0, 0, arguments.image, arguments.image)
    found = [_find(arguments, rng, objects, square) for square in squares]
    sides = (objects[:, 2:] - objects[:, :2]).amin(dim=1) * arguments.coarse / arguments.image
    found.append(_find(arguments, rng, objects, everything, sides >= arguments.coarse_least))
    boxes, scores, which = (torch.cat(values) for values in zip(*found, strict=True))
    number = [torch.full((len(each[1]),), tile) for tile, each in enumerate(found[:-1])]
    views = Views(boxes, scores, torch.zeros_like(which), torch.cat([*number, torch.full((len(found[-1][1]),), -1)]))
    start = time.perf_counter()
    kept = merge(views, grid, arguments.overlap)
    seconds = time.perf_counter() - start
    ours = _score(arguments, objects, boxes[kept], scores[kept], which[kept])
    whole = _score(arguments, objects, *_find(arguments, rng, objects, everything))
    return (
        f"seed {seed}: {len(scores):,} detections of {len(objects):,} objects in {len(squares)} tiles, merged in "
        f"{seconds:.1f} s; recall {ours[0]:.2%} (without tiles {whole[0]:.2%}), found twice {ours[1]:.3%}"
    )


def draw(rng: np.random.Generator, image: int, objects: int, sides: tuple[float, float]) -> Tensor:
    """Returns boxes in a square image; half of them lie beside another one and are of about its size."""
    low, high = (math.log(side) for side in sides)
    extent = np.exp(rng.uniform(low, high, (objects, 1)) + rng.uniform(-0.3, 0.3, (objects, 2)))
    centre = rng.uniform(0, image, (objects, 2))
    half = objects // 2
    beside = rng.integers(half, objects, half)
    extent[:half] = extent[beside] * rng.uniform(0.8, 1.25, (half, 2))
    centre[:half] = centre[beside] + rng.normal(0, 0.4, (half, 2)) * extent[beside]
    boxes = np.concatenate([centre - extent / 2, centre + extent / 2], 1).clip(0, image)
    return torch.from_numpy(boxes[(boxes[:, 2:] - boxes[:, :2] > 4).all(1)]).float()


def _find(
    arguments: Arguments,
    rng: np.random.Generator,
    objects: Tensor,
    view: tuple[int, int, int, int],
    findable: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns boxes, scores and the number of the object of each detection in a view."""
    low, high = torch.tensor(view[:2] * 2), torch.tensor(view[2:] * 2)
    parts = objects.maximum(low).minimum(high)
    share = area(parts) / area(objects)
    none, all_ = arguments.parts
    chance = ((share - none) / (all_ - none)).clamp(0, 1) * (1 - arguments.missed)
    if findable is not None:
        chance = chance * findable
    seen = torch.nonzero(share > 0)[:, 0]
    which = seen[torch.from_numpy(rng.random(len(seen))) < chance[seen]]
    good = len(which)
    which = torch.cat([which, which[torch.from_numpy(rng.random(good)) < arguments.duplicates]])
    sides = (parts[which, 2:] - parts[which, :2]).repeat(1, 2)
    noise = torch.from_numpy(rng.normal(0, arguments.noise, (len(which), 4))).float()
    noise[good:] *= 3
    boxes = (parts[which] + noise * sides).maximum(low).minimum(high)
    scores = torch.from_numpy(rng.uniform(arguments.threshold, 1, len(which))).float()
    scores[good:] *= torch.from_numpy(rng.uniform(0, arguments.threshold, len(which) - good)).float()
    return boxes, scores, which


def _score(arguments: Arguments, objects: Tensor, boxes: Tensor, scores: Tensor, which: Tensor) -> tuple[float, float]:
    """Returns recall, and the share of objects that are found twice or more."""
    boxes, which = boxes[scores >= arguments.threshold], which[scores >= arguments.threshold]
    best = torch.zeros(len(objects)).scatter_reduce(0, which, iou(boxes, objects[which]), "amax")
    times = torch.bincount(which, minlength=len(objects))
    return (best >= 0.5).float().mean().item(), (times > 1).float().mean().item()


if __name__ == "__main__":
    run(main)
