"""Made-up images and detections of one or two classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from uncrowd.structures import Categories, Detections, ImageId, Sample

ONE_CLASS = Categories(ids=(1,), names=("person",))
TWO_CLASSES = Categories(ids=(1, 2), names=("person", "dog"))


def sample(
    id: int, boxes: Sequence[Sequence[float]], labels: Sequence[int] | None = None, ignore: Sequence[bool] | None = None
) -> Sample:
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return Sample(
        id=id,
        path=Path(f"{id}.jpg"),
        size=(100, 100),
        boxes=corners,
        labels=np.array([0] * len(boxes) if labels is None else labels, dtype=np.int64),
        ignore=np.array([False] * len(boxes) if ignore is None else ignore, dtype=bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1),
    )


def detections(
    boxes: Sequence[Sequence[float]],
    scores: Sequence[float],
    labels: Sequence[int] | None = None,
    categories: Categories = TWO_CLASSES,
) -> Detections:
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor([0] * len(boxes) if labels is None else labels, dtype=torch.int64),
        categories=categories,
    )


def random_crowd(
    rng: np.random.Generator, images: int, categories: Categories, *, levels: int
) -> tuple[list[Sample], dict[ImageId, Detections]]:
    """Returns images with detections near their objects and elsewhere; scores have so many levels."""
    samples: list[Sample] = []
    found: dict[ImageId, Detections] = {}
    for id in range(images):
        n = int(rng.integers(0, 12))
        boxes = random_boxes(rng, n)
        labels = rng.integers(len(categories), size=n).tolist()
        samples.append(sample(id, boxes.tolist(), labels, (rng.random(n) < 0.15).tolist()))
        near = boxes[rng.integers(n, size=2 * n)] + rng.normal(0, 1.5, (2 * n, 4)).clip(-2, 2) if n else boxes
        everything = np.concatenate([near, random_boxes(rng, int(rng.integers(0, 2)))])
        scores = np.sort(rng.integers(1, levels, size=len(everything)) / levels)[::-1]
        found[id] = detections(
            rng.permutation(everything).tolist(),
            scores.tolist(),
            rng.integers(len(categories), size=len(everything)).tolist(),
            categories,
        )
    return samples, found


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corners = rng.uniform(0, 30, (n, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 20, (n, 2))], axis=1)


def repeated(
    samples: Sequence[Sample], found: dict[ImageId, Detections], times: Sequence[int]
) -> tuple[list[Sample], dict[ImageId, Detections]]:
    """Returns a set in which each image occurs so many times, one copy after the other."""
    copies = [each for each, number in zip(samples, times, strict=True) for _ in range(number)]
    renamed = [replace(each, id=number) for number, each in enumerate(copies)]
    return renamed, {number: found[each.id] for number, each in enumerate(copies)}
