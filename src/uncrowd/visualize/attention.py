"""Whom a query attends to (Figure 1a): boxes as strong as their weights, the row of the attention matrix as bars."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from uncrowd.visualize.draw import Colour, enlarged, in_canvas, line_width, outline

QUERY: Colour = (255, 238, 70)  # the paper's yellow
OTHERS: Colour = (64, 196, 255)


def draw_attention(
    image: UInt8[np.ndarray, "h w 3"], boxes: Float[np.ndarray, "n 4"], weights: Float[np.ndarray, " n"], query: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The image with the box of `query` in yellow above the boxes of the other queries, in its pixels.

    Opacity and width of a box follow its weight relative to the strongest other's: one that gets nothing is not seen.
    """
    canvas, scale = enlarged(image)
    corners = in_canvas(boxes * scale, canvas.size)
    thick = 2 * line_width([corners[query]], canvas.size)
    others = np.delete(weights, query)
    strengths = weights / max(others.max(initial=0.0), np.finfo(np.float64).tiny)
    draw = ImageDraw.Draw(canvas, "RGBA")  # blends what is drawn
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
    """A row of the attention matrix: one bar a query, that of `query` itself yellow, the axis ending at `highest`."""
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
