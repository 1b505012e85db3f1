"""An image that is read some rows at a time, so that a large one need not fit in memory."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@runtime_checkable
class ImageRows(Protocol):
    """An image of (height, width) `size`."""

    size: tuple[int, int]

    def rows(self, top: int, bottom: int) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the rows from `top` up to `bottom`, which is not included, as RGB."""
        ...

    def notes(self) -> list[str]:
        """Returns what is to be said of the file, of which all rows were read."""
        ...


class PixelRows:
    """The rows of an image that is in memory."""

    def __init__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> None:
        self.size: tuple[int, int] = pixels.shape[0], pixels.shape[1]
        self._pixels = pixels

    def rows(self, top: int, bottom: int) -> UInt8[np.ndarray, "h w 3"]:
        """See `ImageRows`; nothing is copied."""
        return self._pixels[top:bottom]

    def notes(self) -> list[str]:
        """Returns nothing: it was said when the file was read."""
        return []
