"""The box around an outline in one of COCO's forms: polygons, or a mask as run lengths (RLE), plain or compressed.

Run lengths are those of background and object in turn, down the columns of the image. The rule is that of COCO's
maskApi.c (https://github.com/cocodataset/cocoapi).
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Int64

from uncrowd.data.formats.records import Box
from uncrowd.data.formats.values import as_float, is_number

# Six bits a character, of which five hold digits.
_FIRST, _DIGITS, _SIGN, _MORE = ord("0"), 0x1F, 0x10, 0x20
# No image has as many pixels as this many groups of five bits count.
_MOST_GROUPS = 13


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
    runs = _decompress(counts) if isinstance(counts, str) else counts
    height, width = size
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs) or sum(runs) > height * width:
        return None
    lengths: Int64[np.ndarray, " n"] = np.array(runs, dtype=np.int64)
    ends = np.cumsum(lengths)
    of_object = (np.arange(len(runs)) % 2 == 1) & (lengths > 0)
    first, last = (ends - lengths)[of_object], ends[of_object] - 1
    if len(first) == 0:
        return None
    left, right = first // height, last // height
    # A run that goes on in the next column touches the bottom of the one and the top of the other.
    spans = bool((left < right).any())
    top, bottom = (0, height - 1) if spans else ((first % height).min(), (last % height).max())
    return float(left.min()), float(top), float(right.max()) + 1, float(bottom) + 1


def _decompress(text: str) -> list[int] | None:
    """Returns the run lengths that COCO's text holds, or None where it is not such a text."""
    runs: list[int] = []
    run = groups = 0
    for character in text:
        code = ord(character) - _FIRST
        if not 0 <= code < 2 * _MORE or groups == _MOST_GROUPS:
            return None
        run |= (code & _DIGITS) << (5 * groups)
        groups += 1
        if not code & _MORE:
            if code & _SIGN:
                run -= 1 << (5 * groups)
            # From the fourth run on, the text holds the difference to the run before the last.
            runs.append(run + runs[-2] if len(runs) > 2 else run)
            run = groups = 0
    return runs if groups == 0 else None
