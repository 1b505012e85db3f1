"""Helpers of tests that draw: a plain image to draw on, and the pixels of a colour in what was drawn."""

import numpy as np


def gray(height: int, width: int) -> np.ndarray:
    """Returns an image of that size in pixels, (height, width, 3), with the value 90 everywhere."""
    return np.full((height, width, 3), 90, np.uint8)


def is_colour(drawn: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Returns the mask (height, width) of the pixels that have exactly this colour."""
    return (drawn == np.array(colour)).all(axis=-1)


def rectangle_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the smallest box (x1, y1, x2, y2), in corners of pixels, around the True pixels of a mask."""
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
