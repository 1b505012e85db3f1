"""Draws which queries a query attends to (Figure 1a): on the image, and as bars of a row of the attention matrix."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from uncrowd.visualize.draw import Colour, enlarged, in_canvas, line_width, outline

QUERY: Colour = (255, 238, 70)  # the paper's yellow
OTHERS: Colour = (64, 196, 255)


def draw_attention(
    image: UInt8[np.ndarray, "h w 3"], boxes: Float[np.ndarray, "n 4"], weights: Float[np.ndarray, " n"], query: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws the box of `query` in yellow on top of the boxes of the other queries; boxes are in pixels of the image.

    The opacity and line width of another box are in proportion to its weight: the strongest is opaque, and a box of
    weight 0 is invisible.
    """
    canvas, scale = enlarged(image)
    corners = in_canvas(boxes * scale, canvas.size)
    thick = 2 * line_width([corners[query]], canvas.size)
    others = np.delete(weights, query)
    strengths = weights / max(others.max(initial=0.0), np.finfo(np.float64).tiny)
    draw = ImageDraw.Draw(canvas, "RGBA")  # blends lines with the image
    for index in np.argsort(strengths, kind="stable").tolist():
        box, strength = corners[index], strengths[index]
        if index != query and box is not None:
            draw.rectangle(box, outline=(*OTHERS, round(255 * strength)), width=max(1, round(thick * strength)))
    own = corners[query]
    if own is not None:
        outline(ImageDraw.Draw(canvas), own, QUERY, thick)
    return np.asarray(canvas)


def draw_row(
    weights: Float[np.ndarray, " n"], query: int, *, width: int, highest: float
) -> UInt8[np.ndarray, "height {width} 3"]:
    """Draws a row of the attention matrix: a bar for each query, yellow for `query`; the axis ends at `highest`."""
    size = max(12.0, width / 44)
    font, line = ImageFont.load_default(size), round(1.5 * size)
    height = 5 * line
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left, top, bottom = round(draw.textlength("0.00", font) + size), line // 2, height - line - line // 3
    for value, y in ((highest, top), (0, bottom)):
        draw.text((left - size / 2, y), f"{value:.2f}" if value else "0", "black", font, anchor="rm")
    edges = np.linspace(left + 1, width, len(weights) + 1).round().astype(int).tolist()
    gap = 1 if edges[1] - edges[0] > 2 else 0
    for index, (weight, start, end) in enumerate(zip(weights.tolist(), edges, edges[1:], strict=False)):
        high = round((bottom - top) * min(1.0, weight / highest))
        if high:
            bar = start, bottom - high, max(start, end - 1 - gap), bottom - 1
            draw.rectangle(bar, fill=QUERY if index == query else OTHERS)
            if index == query and bar[2] - bar[0] > 2:  # yellow alone is faint on white
                draw.rectangle(bar, outline="black")
    draw.line((left, top, left, bottom, width - 1, bottom), "black")
    draw.text((left, height - 1), f"attention to each of the {len(weights)} queries", "black", font, anchor="ld")
    return np.asarray(sheet)
