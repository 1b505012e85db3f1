"""Rules for the records of every format: which boxes can be used."""

import math
from typing import Any

from uncrowd.data.formats.values import as_number
from uncrowd.data.problems import Rule

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
REVERSED = Rule(
    kind="reversed box",
    severity="warning",
    message="boxes with a negative width or height",
    training="training and scores leave them out",
    skips=True,
)
OUTSIDE = Rule(
    kind="box outside",
    severity="warning",
    message="boxes fully outside their image",
    training="training leaves them out, scores count them as missed",
    skips=True,
)

Box = tuple[float, float, float, float]


def xywh_to_box(value: Any) -> Box | None:
    """Converts a JSON list [x, y, width, height] to corners (x1, y1, x2, y2); None where it is not four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    x, y, width, height = map(as_number, value)
    if x is None or y is None or width is None or height is None:
        return None
    return x, y, x + width, y + height


def judge_box(box: Box, size: tuple[int, int]) -> Rule | None:
    """Returns the rule that a box (x1, y1, x2, y2) breaks, or None if training can use it.

    size: (height, width) of the image, in whose pixels the box is given.
    """
    if not all(map(math.isfinite, box)):
        return NOT_FINITE
    if box[2] < box[0] or box[3] < box[1]:
        return REVERSED
    if box[2] == box[0] or box[3] == box[1]:
        return NO_AREA
    if box[2] <= 0 or box[3] <= 0 or box[0] >= size[1] or box[1] >= size[0]:
        return OUTSIDE
    return None


def counts_in_scores(box: Box) -> bool:
    """Whether a dataset keeps the box (x1, y1, x2, y2).

    It keeps objects without area or outside their image, because COCO's scores count them as missed. It leaves out
    what is not a box: corners in the wrong order, or NaN or infinite numbers.
    """
    return all(map(math.isfinite, box)) and box[2] >= box[0] and box[3] >= box[1]
