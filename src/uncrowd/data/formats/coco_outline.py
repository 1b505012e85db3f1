"""Outlines in COCO's forms: polygons, or a mask as run lengths (RLE), plain or compressed."""

import math
from typing import Any

import numpy as np

from uncrowd.boxes import FAR
from uncrowd.data.formats.records import Box
from uncrowd.data.formats.values import as_float, is_number
from uncrowd.data.run_lengths import compress, object_runs
from uncrowd.structures import Outline


def outline_box(outline: Any, size: tuple[int, int]) -> Box | None:
    """Returns corners (x1, y1, x2, y2) in image pixels, or None where the JSON value is no outline or an empty one.

    size: (height, width) of the image, which a mask must have too.
    """
    if isinstance(outline, dict):
        return _mask_box(outline.get("counts"), size) if outline.get("size") == [*size] else None
    if not isinstance(outline, list):
        return None
    # VIA and others write a single polygon without the list of polygons around it.
    return _polygons_box([outline] if all(map(is_number, outline)) else outline)


def as_outline(value: Any, size: tuple[int, int]) -> Outline | None:
    """Returns a JSON value as an outline, or None where it has the form of none.

    size: (height, width) of the image, which a mask must have too. The text of run lengths is not read here, because
    most are never needed.
    """
    if isinstance(value, dict) and value.get("size") == [*size]:
        counts = value.get("counts")
        if isinstance(counts, str):
            return counts if counts.isascii() else None
        runs = object_runs(counts, size)
        return compress(counts) if isinstance(counts, list) and runs is not None and len(runs[0]) else None
    if not isinstance(value, list):
        return None
    polygons = [value] if all(map(is_number, value)) else value
    # A dataset has millions of numbers, so their types are asked for all at once.
    if not all(isinstance(p, list) and len(p) % 2 == 0 and set(map(type, p)) <= {int, float} for p in polygons):
        return None
    try:
        arrays = [np.array(p, dtype=np.float64).reshape(-1, 2) for p in polygons if len(p) >= 6]
    except OverflowError:  # an integer that no float can hold
        return None
    if not arrays or not all(np.isfinite(array).all() for array in arrays):
        return None
    return tuple(array.clip(-FAR, FAR).astype(np.float32) for array in arrays)


def _polygons_box(polygons: list[Any]) -> Box | None:
    """The bounds of lists [x, y, x, y, ...], of which one must have three points."""
    if not all(isinstance(p, list) and len(p) % 2 == 0 and all(map(is_number, p)) for p in polygons):
        return None
    if max(map(len, polygons), default=0) < 6:
        return None
    numbers = [as_float(number) for polygon in polygons for number in polygon]
    x, y = numbers[::2], numbers[1::2]
    return (min(x), min(y), max(x), max(y)) if all(map(math.isfinite, numbers)) else None


def _mask_box(counts: Any, size: tuple[int, int]) -> Box | None:
    height = size[0]
    runs = object_runs(counts, size)
    if runs is None or len(runs[0]) == 0:
        return None
    first, last = runs[0], runs[1] - 1
    left, right = first // height, last // height
    # A run that goes on in the next column touches the bottom of the one and the top of the other.
    spans = bool((left < right).any())
    top, bottom = (0, height - 1) if spans else ((first % height).min(), (last % height).max())
    return float(left.min()), float(top), float(right.max()) + 1, float(bottom) + 1
