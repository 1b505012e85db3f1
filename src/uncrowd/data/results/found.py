"""What was found in one image, and where the results of the image go."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from uncrowd.structures import Detections


class FoundImage(NamedTuple):
    """One image and its detections, for the writers of this room.

    file: as the user named it. below: its path below the folder that the user named. name: the same with the suffix
    .jpg, and a number where another image has this name; what is written for the image alone is named after it.
    size: (height, width). pixels: None where no writer needs them. counts: the number of objects of each class; their
    score threshold may be another one than that of the detections. annotated: whether `name` is its annotated image.
    """

    file: Path
    below: Path
    name: Path
    size: tuple[int, int]
    pixels: UInt8[np.ndarray, "h w 3"] | None
    detections: Detections
    counts: dict[str, int]
    annotated: bool


Write = Callable[[FoundImage], None]
