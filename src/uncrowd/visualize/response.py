"""Where a branch looks (Figure 1b): the response of a RoI laid over its box as a heat map."""

import math

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from uncrowd.visualize.attention import QUERY
from uncrowd.visualize.draw import Rectangle, enlarged, in_canvas, line_width, outline

HEAT = matplotlib.colormaps["turbo"]
OPACITY = 0.6
# How much of a box's own sides is shown around it.
MARGIN = 0.4


def draw_response(
    image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, " 4"], response: Float[np.ndarray, "rows columns"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The surroundings of a box, given in the image's pixels, with its response inside: a cell where it was pooled.

    Blue is the lowest value and red the highest; a scale below says which these are. What lies outside of the image
    is not shown.
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
    """The left upper corner (x, y) in the image of what is shown, and its pixels; all where no box is to be seen."""
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
    """Blends the heat of a box's cells, between 0 and 1, into that part of it that lies on the canvas."""
    size = np.array(canvas.size)
    first = box[:2].clip(0, size - 1).round().astype(int)
    last = np.maximum(box[2:].clip(0, size).round().astype(int), first + 1)
    # What part of the cells that is, in cells; a coordinate far outside must not become a large image.
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
    """The colours from the lowest to the highest value."""
    size = max(12.0, width / 44)
    font, line = ImageFont.load_default(size), round(1.5 * size)
    sheet = Image.new("RGB", (width, 2 * line), "white")
    draw = ImageDraw.Draw(sheet)
    digits = max(2, 1 - math.floor(math.log10(max(highest - lowest, 1e-9))))  # so many that the two differ
    texts = f"{lowest:.{digits}f}", f"{highest:.{digits}f}"
    left, right = (round(draw.textlength(text, font) + size) for text in texts)
    bar: Rectangle = left, line - round(size / 2), width - right - 1, line + round(size / 2)
    ramp = (255 * HEAT(np.linspace(0, 1, bar[2] - bar[0]))[None, :, :3]).round().astype(np.uint8)
    sheet.paste(Image.fromarray(ramp.repeat(bar[3] - bar[1], axis=0)), bar[:2])
    draw.text((size / 2, line), texts[0], "black", font, anchor="lm")
    draw.text((width - size / 2, line), texts[1], "black", font, anchor="rm")
    return np.asarray(sheet)
