"""Draws images in rows and columns, like the paper's pages of results (Figures 7 to 10)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

COLUMN_WIDTH = 720


def grid(
    titles: Sequence[str], rows: Sequence[Sequence[UInt8[np.ndarray, "_h _w 3"]]]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws rows of images on white, with a title above each column; every image is resized to the column's width."""
    assert rows, "there is nothing to show"
    assert all(len(row) == len(titles) for row in rows), "a row has an image for each title"
    gap, size = COLUMN_WIDTH // 60, COLUMN_WIDTH / 24
    bar = round(1.8 * size)
    images = [[Image.fromarray(in_column(image)[0]) for image in row] for row in rows]
    heights = [max(image.height for image in row) for row in images]
    width = len(titles) * (COLUMN_WIDTH + gap) - gap
    sheet = Image.new("RGB", (width, bar + sum(heights) + gap * (len(rows) - 1)), "white")
    draw, top = ImageDraw.Draw(sheet), bar
    lefts = [column * (COLUMN_WIDTH + gap) for column in range(len(titles))]
    for left, words in zip(lefts, titles, strict=True):
        title = " ".join(words.split())  # one line, because the name of a file may hold line breaks
        # A title wider than its column gets smaller letters, but not too small to read.
        fitting = size * min(1.0, 0.96 * COLUMN_WIDTH / max(1.0, draw.textlength(title, ImageFont.load_default(size))))
        middle = left + COLUMN_WIDTH / 2, bar / 2
        draw.text(middle, title, "black", ImageFont.load_default(max(10.0, fitting)), anchor="mm")
    for row, height in zip(images, heights, strict=True):
        for left, image in zip(lefts, row, strict=True):
            sheet.paste(image, (left, top))
        top += height + gap
    return np.asarray(sheet)


def in_column(
    image: UInt8[np.ndarray, "_h _w 3"],
) -> tuple[UInt8[np.ndarray, "_height _width 3"], Float[np.ndarray, " 4"]]:
    """Returns the image resized to the width of a column, and the factors for its boxes (x1, y1, x2, y2).

    Boxes and captions that are drawn on it keep their size in the grid.
    """
    height, width = image.shape[:2]
    size = COLUMN_WIDTH, max(1, round(height * COLUMN_WIDTH / width))
    resized = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(resized), np.array([size[0] / width, size[1] / height] * 2)
