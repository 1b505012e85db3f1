"""Rules for the records of every format: which ids, sizes and boxes can be used."""

import math
from typing import Any, TypeGuard

from uncrowd.data.problems import Rule
from uncrowd.structures import ImageId

IMAGES_NOT_FOUND = Rule(
    kind="images not found",
    severity="error",
    message="images that cannot be found",
    training="put the images beside the annotation file, in images/, or in a folder named as the split",
)
NOT_FINITE = Rule(
    kind="not finite box",
    severity="warning",
    message="boxes with a NaN or infinite number",
    training="training leaves them out",
    skips=True,
)
NO_AREA = Rule(
    kind="degenerate box",
    severity="warning",
    message="boxes without positive width and height",
    training="training leaves them out, scores count them as missed",
    skips=True,
)
OUTSIDE = Rule(
    kind="box outside",
    severity="warning",
    message="boxes fully outside their image",
    training="training leaves them out, scores count them as missed",
    skips=True,
)

HOLDS_DETECTIONS = "{} holds detections, not ground truth; give the annotation file they belong to."

# The most characters of a name or an id. No system opens longer paths than a few thousand characters, and a dataset
# holds its names in arrays as wide as the longest of them.
LONGEST = 1024

Box = tuple[float, float, float, float]


def xywh_to_box(value: Any) -> Box | None:
    """Converts a JSON list [x, y, width, height] to corners (x1, y1, x2, y2); None where it is not four numbers."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        return None
    x, y, width, height = map(as_float, value)
    return x, y, x + width, y + height


def judge_box(box: Box, size: tuple[int, int]) -> Rule | None:
    """Returns the rule that a box (x1, y1, x2, y2) breaks, or None if training can use it.

    size: (height, width) of the image, in whose pixels the box is given.
    """
    if not all(map(math.isfinite, box)):
        return NOT_FINITE
    if box[2] <= box[0] or box[3] <= box[1]:
        return NO_AREA
    if box[2] <= 0 or box[3] <= 0 or box[0] >= size[1] or box[1] >= size[0]:
        return OUTSIDE
    return None


def counts_in_scores(box: Box) -> bool:
    """Whether a dataset keeps the box (x1, y1, x2, y2).

    It keeps objects without area or outside their image, because COCO's scores count them as missed. It leaves out
    what is no box at all: corners in the wrong order, or NaN or infinite numbers.
    """
    return all(map(math.isfinite, box)) and box[2] >= box[0] and box[3] >= box[1]


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether the value is a JSON number, which true and false are not."""
    return type(value) in (int, float)


def as_float(number: int | float) -> float:
    """The number as a float; infinity for an integer that is too large, since JSON sets no limit."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def is_id(value: Any) -> TypeGuard[ImageId]:
    """Whether the value is a string of at most `LONGEST` characters, or a whole number that fits in 64 bits."""
    return (type(value) is str and len(value) <= LONGEST) or (type(value) is int and -(2**63) <= value < 2**63)


def is_file_name(value: Any) -> TypeGuard[str]:
    """Whether the value is a string of 1 to `LONGEST` characters."""
    return type(value) is str and 0 < len(value) <= LONGEST


def is_length(value: Any) -> TypeGuard[int | float]:
    """Whether the value is a positive whole number of pixels, whether it is written 640 or 640.0."""
    return is_number(value) and 0 < value < 2**31 and value == int(value)
