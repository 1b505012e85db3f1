"""Draws the RoI features of a branch as a heat map over the box (Figure 1b)."""

import math

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from uncrowd.visualize.attention import QUERY
from uncrowd.visualize.draw import Rectangle, enlarged, in_canvas, line_width, outline

HEAT = matplotlib.colormaps["turbo"]
OPACITY = 0.6
# The image is shown up to this share of the box's longer side around it.
MARGIN = 0.4


def draw_response(
    image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, " 4"], response: Float[np.ndarray, "rows columns"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the surroundings of a box, in pixels of the image, with each cell of the response where it was pooled.

    The lowest value is blue and the highest red; a scale below gives both numbers. The part of the box outside the
    image is not shown.
    """
    corner, crop = _surroundings(image, box)
    canvas, scale = enlarged(crop)
    exact = (box - np.tile(corner, 2)) * scale
    (visible,) = in_canvas(exact[None], canvas.size)
    lowest, highest = float(response.min()), float(response.max())
    if visible is not None and (box[2:] > box[:2]).all():
        share = (response - lowest) / max(highest - lowest, np.finfo(np.float64).tiny)
        _lay_over(canvas, exact, share)
        outline(ImageDraw.Draw(canvas), visible, QUERY, line_width([visible], canvas.size))
    return np.concatenate([np.asarray(canvas), _scale(canvas.width, lowest, highest)])


def _surroundings(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the crop around the box and its upper left corner (x, y); the whole image if no box is visible."""
    height, width = image.shape[:2]
    limit = np.array([width, height])
    near = np.nan_to_num(box).clip(0, np.tile(limit, 2))
    if (near[2:] <= near[:2]).any():
        return np.zeros(2), image
    margin = MARGIN * (near[2:] - near[:2]).max()
    left, top = np.floor(near[:2] - margin).clip(0).astype(int).tolist()
    right, bottom = np.ceil(near[2:] + margin).clip(max=limit).astype(int).tolist()
    return np.array([left, top]), image[top:bottom, left:right]


def _lay_over(canvas: Image.Image, box: np.ndarray, share: np.ndarray) -> None:
    """Blends the heat map of a box's cells, between 0 and 1, into the part of the box that lies on the canvas."""
    size = np.array(canvas.size)
    first = box[:2].clip(0, size - 1).round().astype(int)
    last = np.maximum(box[2:].clip(0, size).round().astype(int), first + 1)
    # The same part in units of cells: only this part is resized, because a huge box would make a huge image.
    cells = np.array(share.shape[::-1])
    inside = (np.concatenate([first, last]) - np.tile(box[:2], 2)) / np.tile(box[2:] - box[:2], 2) * np.tile(cells, 2)
    inside = inside.clip(0, np.tile(cells, 2))
    smooth = Image.fromarray(share.astype(np.float32)).resize(
        tuple((last - first).tolist()), Image.Resampling.BICUBIC, box=tuple(inside.tolist())
    )
    heat = Image.fromarray((255 * HEAT(np.asarray(smooth))[..., :3]).round().astype(np.uint8))
    below = canvas.crop((*first.tolist(), *last.tolist()))
    canvas.paste(Image.blend(below, heat, OPACITY), tuple(first.tolist()))


def _scale(width: int, lowest: float, highest: float) -> np.ndarray:
    """Draws a bar of colours between the lowest and the highest value."""
    size = max(12.0, width / 44)
    font, line = ImageFont.load_default(size), round(1.5 * size)
    sheet = Image.new("RGB", (width, 2 * line), "white")
    draw = ImageDraw.Draw(sheet)
    digits = max(2, 1 - math.floor(math.log10(max(highest - lowest, 1e-9))))  # enough to tell the two apart
    texts = f"{lowest:.{digits}f}", f"{highest:.{digits}f}"
    left, right = (round(draw.textlength(text, font) + size) for text in texts)
    bar: Rectangle = left, line - round(size / 2), width - right - 1, line + round(size / 2)
    ramp = (255 * HEAT(np.linspace(0, 1, bar[2] - bar[0]))[None, :, :3]).round().astype(np.uint8)
    sheet.paste(Image.fromarray(ramp.repeat(bar[3] - bar[1], axis=0)), bar[:2])
    draw.text((size / 2, line), texts[0], "black", font, anchor="lm")
    draw.text((width - size / 2, line), texts[1], "black", font, anchor="rm")
    return np.asarray(sheet)
