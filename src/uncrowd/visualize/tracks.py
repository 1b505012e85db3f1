"""Draws the tracks in a frame of a video, with a line and a zone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from uncrowd.structures import Detections
from uncrowd.visualize.draw import draw_detections

# (x, y) in pixels of the frame.
Point = tuple[int, int]

MARK = (255, 255, 255)
EDGE = (0, 0, 0)


def draw_tracks(
    pixels: UInt8[np.ndarray, "h w 3"],
    tracks: Detections,
    shapes: Sequence[tuple[Sequence[Point], str]] = (),
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of the frame with the box and id of each track; a track has the same colour in all frames.

    shapes: lines and polygons, as points in pixels of the frame, each with words: in the middle of a polygon's first
    side, on the outer side of a line. An arrow points to the inner side of a line: the left of someone who stands at
    its first point and faces the second.
    """
    assert tracks.track_ids is not None
    ids = tracks.track_ids.tolist()
    several = len(tracks.categories) > 1
    captions = [f"{id} {name}" if several else str(id) for id, name in zip(ids, tracks.names, strict=True)]
    drawn = draw_detections(pixels, tracks.boxes, labels=tracks.track_ids, captions=captions, enlarge=False)
    if not shapes:
        return drawn
    canvas = Image.fromarray(drawn)
    for points, words in shapes:
        _draw_shape(ImageDraw.Draw(canvas), points, words, canvas.size)
    return np.asarray(canvas)


def _draw_shape(draw: ImageDraw.ImageDraw, points: Sequence[Point], words: str, size: tuple[int, int]) -> None:
    """Draws a line with an arrow to its inner side, or a polygon, with the words inside the image.

    size: (width, height) of the image.
    """
    width = max(1, round(min(size) / 160))
    font = ImageFont.load_default(max(11.0, min(size) / 30))
    left, top, right, bottom = draw.textbbox((0, 0), words, font, stroke_width=width)
    sides = np.array([right - left, bottom - top])
    place = np.mean(points[:2], axis=0)
    strokes = [[*points, points[0]]]
    if len(points) == 2:
        along = np.subtract(points[1], points[0]) / np.hypot(*np.subtract(points[1], points[0]))
        inwards = np.array([along[1], -along[0]])  # y points down
        strokes += _arrow(place, inwards, min(size) / 15)
        place = place - inwards * sides.max() / 2
    for colour, wide in ((EDGE, width + 2), (MARK, width)):
        for stroke in strokes:
            draw.line(stroke, colour, wide)
    corner = np.clip(place - sides / 2, 0, np.maximum(np.array(size) - sides, 0))
    draw.text(_point(corner - (left, top)), words, MARK, font, stroke_width=width, stroke_fill=EDGE)


def _arrow(start: np.ndarray, direction: np.ndarray, length: float) -> list[list[Point]]:
    """Returns the shaft and the head of an arrow, as points in pixels.

    start: (x, y). direction: (x, y) of length 1, where y points down. length: in pixels.
    """
    tip, across = start + length * direction, np.array([direction[1], -direction[0]])
    wings = (tip + length * (-0.5 * direction + side * across) for side in (-0.35, 0.35))
    first, second = map(_point, wings)
    return [[_point(start), _point(tip)], [first, _point(tip), second]]


def _point(values: np.ndarray) -> Point:
    x, y = values.tolist()
    return round(x), round(y)
