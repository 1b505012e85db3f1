"""Draws the tracks in a frame of a video, with a line and a zone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from uncrowd.structures import Detections
from uncrowd.visualize.draw import draw_detections

MARK = (255, 255, 255)
EDGE = (0, 0, 0)


def draw_tracks(
    pixels: UInt8[np.ndarray, "h w 3"],
    tracks: Detections,
    shapes: Sequence[tuple[Sequence[tuple[int, int]], str]] = (),
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of the frame with the box and id of each track; a track has the same colour in all frames.

    shapes: lines and polygons, as points in pixels of the frame, each with the words beside its first point.
    """
    assert tracks.track_ids is not None
    ids = tracks.track_ids.tolist()
    several = len(tracks.categories) > 1
    captions = [f"{id} {name}" if several else str(id) for id, name in zip(ids, tracks.names, strict=True)]
    drawn = draw_detections(pixels, tracks.boxes, labels=tracks.track_ids, captions=captions, enlarge=False)
    if not shapes:
        return drawn
    canvas = Image.fromarray(drawn)
    draw = ImageDraw.Draw(canvas)
    width = max(1, round(min(canvas.size) / 160))
    for points, words in shapes:
        closed = [*points, points[0]] if len(points) > 2 else [*points]
        draw.line(closed, EDGE, width + 2)
        draw.line(closed, MARK, width)
        size = max(11.0, min(canvas.size) / 30)
        draw.text(points[0], words, MARK, stroke_width=max(1, width), stroke_fill=EDGE, font_size=size)
    return np.asarray(canvas)
