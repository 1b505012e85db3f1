"""Small images whose objects are drawn in colours of their own, so that a test can find them again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.structures import Categories, Outline, Sample

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def sample_of(
    size: tuple[int, int], boxes: Sequence[Sequence[float]], outlines: tuple[Outline | None, ...] = (), id: int = 1
) -> Sample:
    """Boxes labelled 0, 1, 2, ... in their order."""
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Sample(
        id=id,
        path=Path(f"{id}.png"),
        size=size,
        boxes=array,
        labels=np.arange(len(array)),
        ignore=np.zeros(len(array), dtype=bool),
        areas=(array[:, 2:] - array[:, :2]).prod(axis=1),
        outlines=outlines,
    )


def polygon(*points: tuple[float, float]) -> Outline:
    return (np.array(points, dtype=np.float32),)


def disc(x: float, y: float, radius: float) -> Outline:
    """A circle as a polygon of many corners."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return polygon(*zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True))


def discs(folder: Path, images: int, size: int = 96, radius: float = 9.0, *, outlined: bool) -> DetectionDataset:
    """Grey images with three discs each, which are clear of each other and of the edge."""
    rng, samples = np.random.default_rng(0), []
    rows, columns = np.mgrid[:size, :size] + 0.5
    for id in range(images):
        pixels = np.full((size, size, 3), 128, dtype=np.uint8)
        boxes, outlines = [], []
        for number, colour in enumerate(COLOURS):
            x = radius + 3 + number * (2 * radius + 6) + rng.uniform(0, 3)
            y = rng.uniform(radius + 2, size - radius - 2)
            pixels[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = colour
            boxes.append([x - radius, y - radius, x + radius, y + radius])
            outlines.append(disc(x, y, radius) if outlined else None)
        Image.fromarray(pixels).save(folder / f"{id}.png")
        sample = sample_of((size, size), boxes, tuple(outlines), id)
        samples.append(Sample(**{**vars(sample), "path": folder / f"{id}.png"}))
    categories = Categories(ids=(1, 2, 3), names=("red", "green", "blue"))
    return DetectionDataset.from_samples(samples, source=folder, split="train", categories=categories, folder=folder)
