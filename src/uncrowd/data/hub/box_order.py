"""The order in which a dataset writes the numbers of a box. COCO's is judged, because a wrong one spoils training."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from uncrowd.data.formats import convention
from uncrowd.errors import InputError

# xywh: COCO's left, top, width, height. xyxy: the corners, as in Pascal VOC. cxcywh: centre, width, height, as in YOLO.
BoxOrder = Literal["xywh", "xyxy", "cxcywh"]

# The rule that boxes read as xywh break -> the flag with which they are read rightly.
_MENDS = {
    convention.FRACTIONS.message: "--relative",
    convention.CORNERS.message: "--boxes xyxy",
    convention.AREAS_OF_CORNERS.message: "--boxes xyxy",
    convention.CENTRES.message: "--boxes cxcywh",
}


def to_xywh(box: Any, order: BoxOrder, scale: tuple[float, float]) -> Any:
    """Returns a box as [left, top, width, height] in pixels; what is not four numbers is returned as it is.

    scale: (width, height) of the image for shares of it, (1, 1) for pixels.
    """
    if not isinstance(box, Sequence) or len(box) != 4 or not all(isinstance(each, int | float) for each in box):
        return box
    a, b, c, d = (number * scale[axis % 2] for axis, number in enumerate(box))
    match order:
        case "xywh":
            return [a, b, c, d]
        case "xyxy":
            return [a, b, c - a, d - b]
        case "cxcywh":
            return [a - c / 2, b - d / 2, c, d]


class Judge:
    """Collects the boxes of a split, and refuses them if together they show another order than xywh in pixels."""

    def __init__(self) -> None:
        self._boxes: list[Sequence[float]] = []
        self._sizes: list[tuple[int, int]] = []
        self._areas: list[float] = []

    def add(self, box_xywh: Any, size: tuple[int, int], area: Any) -> None:
        """Takes a box in an image of (height, width) `size`. area: that of the object, if the dataset has it."""
        if isinstance(box_xywh, Sequence) and len(box_xywh) == 4 and all(isinstance(n, int | float) for n in box_xywh):
            self._boxes.append(box_xywh)
            self._sizes.append(size)
            self._areas.append(area if isinstance(area, int | float) else box_xywh[2] * box_xywh[3])

    def refuse_other_orders(self, where: str) -> None:
        """Raises InputError that names the flag which mends it. where: the split, for the message."""
        boxes = np.array(self._boxes, dtype=np.float64).reshape(-1, 4)
        found = convention.other_convention(boxes, np.array(self._sizes).reshape(-1, 2), np.array(self._areas))
        if found is not None:
            rule, broken = found
            example = convention.as_text(boxes[np.flatnonzero(broken)[0]])
            raise InputError(
                f"{where} has {rule.message}, such as {example}; fetch it with {_MENDS[rule.message]}, or with "
                "--boxes xywh if they are right."
            )
