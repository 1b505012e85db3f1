"""CrowdHuman's evaluation protocol, one box at a time and in the order of its description."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.optimize import linear_sum_assignment

from tests.plain.iou import Box, area, intersection, union

OVERLAP, EPSILON = 0.5, 1e-6
REFERENCE_FPPI = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)


class Image(NamedTuple):
    """size: (height, width). detections: (box, score), in any order."""

    size: tuple[int, int]
    objects: list[Box]
    regions: list[Box]
    detections: list[tuple[Box, float]]


def scores(images: Sequence[Image]) -> dict[str, float | None]:
    images = [clipped(image) for image in images]
    total = sum(len(image.objects) for image in images)
    if total == 0:
        return {"AP": None, "mMR": None, "Recall": None, "JI": None}
    merged = [outcome for image in images for outcome in outcomes(image)]
    merged.sort(key=lambda outcome: -outcome[0])
    indices = [index for n in range(10) if (index := jaccard_index(images, n / 10)) is not None]
    return curve(merged, total, len(images)) | {"JI": max(indices, default=None)}


def clipped(image: Image) -> Image:
    height, width = image.size

    def clip(box: Box) -> Box:
        limits = (width - 1, height - 1, width, height)
        return [max(0.0, min(corner, limit)) for corner, limit in zip(box, limits, strict=True)]

    return Image(
        image.size,
        [clip(box) for box in image.objects],
        [clip(box) for box in image.regions],
        sorted(((clip(box), score) for box, score in image.detections), key=lambda detection: -detection[1]),
    )


def outcomes(image: Image) -> list[tuple[float, bool]]:
    """Returns the score of each detection that counts, and whether it is a true positive."""
    free = list(range(len(image.objects)))
    result = []
    for box, score in image.detections:
        overlaps = [iou(box, image.objects[n]) for n in free]
        if overlaps and max(overlaps) > OVERLAP:
            del free[overlaps.index(max(overlaps))]
            result.append((score, True))
        elif not ignorable(box, image.regions):
            result.append((score, False))
    return result


def curve(merged: Sequence[tuple[float, bool]], total: int, images: int) -> dict[str, float | None]:
    if not merged:
        return {"AP": 0.0, "mMR": 1.0, "Recall": 0.0}
    found = wrong = 0
    points = []  # recall, precision, false positives per image
    for _, right in merged:
        found, wrong = found + right, wrong + (not right)
        points.append((found / total, found / (found + wrong), wrong / images))
    ap = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    missed = [1 - next((r for r, _, fppi in points if fppi >= at), points[-1][0]) for at in REFERENCE_FPPI]
    mmr = math.exp(sum(map(math.log, missed)) / len(missed)) if all(missed) else 0.0
    return {"AP": ap, "mMR": mmr, "Recall": points[-1][0]}


def jaccard_index(images: Sequence[Image], threshold: float) -> float | None:
    ratios = []
    for image in images:
        found = [box for box, score in image.detections if score > threshold]
        pairs = largest_total_iou(found, image.objects)
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        detections = sum(n in rows or not ignorable(box, image.regions) for n, box in enumerate(found))
        objects = sum(n in columns or not ignorable(box, image.regions) for n, box in enumerate(image.objects))
        if detections or objects:
            ratios.append(len(pairs) / (detections + objects - len(pairs) + EPSILON))
    return sum(ratios) / len(ratios) if ratios else None


def largest_total_iou(found: Sequence[Box], objects: Sequence[Box]) -> list[tuple[int, int]]:
    if not found or not objects:
        return []
    overlaps = [[iou(a, b) if iou(a, b) > OVERLAP else 0.0 for b in objects] for a in found]
    pairs = zip(*linear_sum_assignment(overlaps, maximize=True), strict=True)
    return [(int(row), int(column)) for row, column in pairs if overlaps[row][column] > 0]


def ignorable(box: Box, regions: Sequence[Box]) -> bool:
    return any(intersection(box, region) / (area(box) + EPSILON) > OVERLAP for region in regions)


def iou(a: Box, b: Box) -> float:
    return intersection(a, b) / (union(a, b) + EPSILON)
