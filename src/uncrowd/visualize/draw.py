"""Draws boxes and captions on an image, and images side by side."""

import colorsys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

Colour = tuple[int, int, int]
# Left, top, right, bottom in pixels of the drawing; right and bottom are part of it, as Pillow counts.
Rectangle = tuple[int, int, int, int]

# Images with a smaller short side are enlarged, so that captions can be read, but only up to this long side.
READABLE_SHORT_SIDE = 480
ENLARGED_LONG_SIDE = 1920
# Okabe and Ito's hues, brightened: they stand out on photographs and stay distinct for the colour-blind.
PALETTE: tuple[Colour, ...] = (
    (255, 176, 0),
    (64, 196, 255),
    (255, 82, 120),
    (57, 220, 130),
    (255, 238, 70),
    (190, 120, 255),
    (255, 120, 40),
    (0, 225, 215),
    (240, 150, 220),
    (175, 235, 60),
    (70, 120, 255),
    (215, 175, 140),
)
GREY: Colour = (200, 200, 200)  # of ignored boxes


def label_colour(label: int) -> Colour:
    """Returns the colour of a label, always the same; beyond the palette, hues are a golden angle apart."""
    if label < len(PALETTE):
        return PALETTE[label]
    hue = label * 0.618034 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.3 * (label % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"] | Float[Tensor, "n 4"],
    *,
    labels: Int64[np.ndarray, " n"] | Int64[Tensor, " n"] | None = None,
    captions: Sequence[str] | None = None,
    ignored: Bool[np.ndarray, " n"] | None = None,
    enlarge: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draws boxes on a copy of the image. Boxes are in pixels of the image, best first; the best is drawn on top.

    An image with a short side below 480 pixels is enlarged, unless `enlarge` is False. Lines and letters scale with the
    image, and lines are thinner if boxes are small. Boxes outside the image, inverted or with NaN are not drawn.

    labels: each label has its own colour; None gives all boxes the same. captions: a caption stands at its box where it
    hides neither the caption of a better box nor more than a fifth of any box; if there is no such place, it is left
    out. ignored: boxes that are drawn dashed, grey, below all others and without a caption.
    """
    canvas, scale = enlarged(image) if enlarge else (Image.fromarray(image), np.ones(4))
    corners = in_canvas(np.asarray(boxes, dtype=np.float64) * scale, canvas.size)
    colours = [label_colour(label) for label in ([0] * len(corners) if labels is None else labels.tolist())]
    draw = ImageDraw.Draw(canvas)
    width = line_width(corners, canvas.size)
    passed_over = [False] * len(corners) if ignored is None else ignored.tolist()
    for box, skip in zip(corners, passed_over, strict=True):
        if box is not None and skip:
            _dashes(draw, box, width)
    for box, colour, skip in reversed(list(zip(corners, colours, passed_over, strict=True))):
        if box is not None and not skip:
            outline(draw, box, colour, width)
    if captions is not None:
        rows = zip(corners, captions, colours, passed_over, strict=True)
        shown = [(box, text, colour) for box, text, colour, skip in rows if box is not None and not skip]
        _write(draw, shown, canvas.size)
    return np.asarray(canvas)


def side_by_side(panels: Sequence[tuple[str, UInt8[np.ndarray, "_h _w 3"]]]) -> UInt8[np.ndarray, "height width 3"]:
    """Draws images in a row on white, each below its title and enlarged to the height of the tallest."""
    assert panels, "there is nothing to show"
    height = max(image.shape[0] for _, image in panels)
    images = [Image.fromarray(image) for _, image in panels]
    images = [p.resize((max(1, round(p.width * height / p.height)), height), _FILTER) for p in images]
    gap, size = max(4, height // 60), max(12.0, height / 24)
    bar = round(1.6 * size)
    sheet = Image.new("RGB", (sum(p.width for p in images) + gap * (len(images) - 1), height + bar), "white")
    draw, left = ImageDraw.Draw(sheet), 0
    for (title, _), image in zip(panels, images, strict=True):
        # A title wider than its image gets smaller letters, but not too small to read.
        fitting = size * min(1.0, image.width / max(1.0, draw.textlength(title, ImageFont.load_default(size))))
        draw.text((left, bar / 2), title, "black", ImageFont.load_default(max(8.0, fitting)), anchor="lm")
        sheet.paste(image, (left, bar))
        left += image.width + gap
    return np.asarray(sheet)


_FILTER = Image.Resampling.BICUBIC


def enlarged(image: UInt8[np.ndarray, "h w 3"]) -> tuple[Image.Image, Float[np.ndarray, " 4"]]:
    """Returns a copy to draw on, enlarged if it is small, and the factors for its boxes (x1, y1, x2, y2)."""
    height, width = image.shape[:2]
    factor = max(1.0, min(READABLE_SHORT_SIDE / min(height, width), ENLARGED_LONG_SIDE / max(height, width)))
    new_height, new_width = round(height * factor), round(width * factor)
    scale = np.array([new_width / width, new_height / height] * 2)
    if factor > 1:  # by torch, which takes a third of the time of Pillow's bicubic filter and differs by 2 at most
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        larger = interpolate(pixels, (new_height, new_width), mode="bicubic", antialias=True)[0].numpy()
        return Image.merge("RGB", [Image.fromarray(channel) for channel in larger]), scale
    return Image.fromarray(image), scale  # RGB, which Pillow copies


def in_canvas(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> list[Rectangle | None]:
    """Returns boxes as whole pixels of a drawing of `size` (width, height); None for a box that cannot be seen.

    A side far outside of the drawing is moved near it, but stays outside.
    """
    limit = np.array([*size, *size])
    near = boxes.clip(-limit, 2 * limit)  # NaN stays
    x1, y1, x2, y2 = near.T
    visible = (x2 >= x1) & (y2 >= y1) & (x2 > 0) & (y2 > 0) & (x1 < size[0]) & (y1 < size[1])
    first = np.nan_to_num(near[:, :2]).round().astype(int)
    # Pixel i covers [i, i + 1), so a box that ends at x2 has x2 - 1 as its last pixel.
    last = np.maximum(np.nan_to_num(near[:, 2:]).round().astype(int) - 1, first)
    return [
        (left, top, right, bottom) if seen else None
        for (left, top), (right, bottom), seen in zip(first.tolist(), last.tolist(), visible, strict=True)
    ]


def line_width(boxes: list[Rectangle | None], size: tuple[int, int]) -> int:
    """Returns a 240th of the short side, or less if half of the boxes are smaller than 20 such lines."""
    sides = [min(box[2] - box[0], box[3] - box[1]) for box in boxes if box is not None]
    thin = float(np.median(sides)) / 20 if sides else np.inf
    return max(1, round(min(min(size) / 240, thin)))


def outline(draw: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, width: int) -> None:
    """Draws the outline of a box along the inside of its edges."""
    draw.rectangle(box, outline=colour, width=width)
    # A dark edge inside keeps the line visible on a background of its own colour.
    left, top, right, bottom = box[0] + width, box[1] + width, box[2] - width, box[3] - width
    edge = max(1, width // 3)
    if min(right - left, bottom - top) > 4 * edge:
        draw.rectangle((left, top, right, bottom), outline=_darker(colour), width=edge)


def _dashes(draw: ImageDraw.ImageDraw, box: Rectangle, width: int) -> None:
    """Draws a box in grey dashes on a dark line, which is visible on any background."""
    left, top, right, bottom = box
    width = max(1, min(width, (right - left) // 2, (bottom - top) // 2))
    draw.rectangle(box, outline=_darker(GREY), width=width)
    dash, inner = 4 * width, width - 1
    for x in range(left, right + 1, 2 * dash):
        for y in (top, bottom - inner):
            draw.rectangle((x, y, min(x + dash - 1, right), y + inner), fill=GREY)
    for y in range(top, bottom + 1, 2 * dash):
        for x in (left, right - inner):
            draw.rectangle((x, y, x + inner, min(y + dash - 1, bottom)), fill=GREY)


def _write(draw: ImageDraw.ImageDraw, captions: list[tuple[Rectangle, str, Colour]], size: tuple[int, int]) -> None:
    """Writes captions in the colours of their boxes, each at the first place that is free."""
    font = ImageFont.load_default(max(11.0, min(size) / 36))
    free = _Free(np.array([box for box, _, _ in captions]).reshape(-1, 4))
    for box, text, colour in captions:
        left, top, right, bottom = draw.textbbox((0, 0), text, font)
        pad = max(2, round((bottom - top) / 4))
        width, height = round(right - left) + 2 * pad, round(bottom - top) + 2 * pad
        place = next(filter(free.has, _places(box, width, height, size)), None) if text else None
        if place is not None:
            free.taken.append(place)
            draw.rectangle(place, fill=colour)
            draw.text((place[0] + pad - left, place[1] + pad - top), text, _ink(colour), font)


def _places(box: Rectangle, width: int, height: int, size: tuple[int, int]) -> Iterator[Rectangle]:
    """Yields places at the box: above, inside at the top, below, inside at the bottom; each at the left, then right."""
    for y in (box[1] - height, box[1], box[3] + 1, box[3] + 1 - height):
        for x in (box[0], box[2] + 1 - width):
            left, top = min(max(x, 0), max(0, size[0] - width)), min(max(y, 0), max(0, size[1] - height))
            yield left, top, left + width - 1, top + height - 1


class _Free:
    """Knows where a caption may stand: not on another caption, and on no more than a fifth of any box."""

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = boxes
        self.areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
        self.taken: list[Rectangle] = []

    def has(self, place: Rectangle) -> bool:
        on_another = any(_hidden(np.array(self.taken), place) > 0) if self.taken else False
        return not on_another and not (_hidden(self.boxes, place) > 0.2 * self.areas).any()


def _hidden(boxes: np.ndarray, place: Rectangle) -> np.ndarray:
    """Returns how many pixels of each box `place` hides."""
    sides = np.minimum(boxes[:, 2:], place[2:]) - np.maximum(boxes[:, :2], place[:2]) + 1
    return sides.clip(min=0).prod(axis=1)


def _darker(colour: Colour) -> Colour:
    red, green, blue = (round(0.25 * channel) for channel in colour)
    return red, green, blue


def _ink(background: Colour) -> str:
    red, green, blue = background
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else "white"
